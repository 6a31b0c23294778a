// Elements. A name from a message only ever becomes a text node or an attribute's value, never markup.

export type Child = Node | string | null | undefined | false;
export type Attributes = Record<string, string | number | boolean | ((event: any) => void) | undefined>;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  dress(element, attributes);
  fill(element, ...children);
  return element;
}

export function svg(tag: string, attributes: Attributes, ...children: Child[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag) as SVGElement;
  dress(element, attributes);
  fill(element, ...children);
  return element;
}

function dress(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
}

export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child): child is Node | string => !!child || child === ""));
}

/** A name as text, isolated from its surroundings: right-to-left marks in it turn nothing else around. */
export function name(text: string, limit = 60): HTMLElement {
  const letters = [...text];
  const shown = letters.length > limit ? `${letters.slice(0, limit - 1).join("")}…` : text;
  return h("bdi", { class: "name", title: text }, shown);
}

export function download(href: string, file: string): void {
  h("a", { href, download: file }).click();
}

/** What stands where data would: loading, empty, an error with what to do. */
export function state(kind: "loading" | "empty" | "error", text: string, ...more: Child[]): HTMLElement {
  return h("p", { class: `state ${kind}`, role: kind === "error" ? "alert" : "status" }, text, ...more);
}

/** A small picture of a course of numbers; a decoration, its numbers stand beside it. */
export function spark(points: [number, number][], width = 96, height = 20): SVGElement {
  const times = points.map(([time]) => time);
  const values = points.map(([, value]) => value);
  const [first, last] = [times[0] ?? 0, times.at(-1) ?? 0];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (time: number): string => (last > first ? 1 + ((time - first) / (last - first)) * (width - 2) : width / 2).toFixed(1);
  const y = (value: number): string => (high > low ? height - 2 - ((value - low) / (high - low)) * (height - 4) : height / 2).toFixed(1);
  const line = points.map(([time, value]) => `${x(time)},${y(value)}`).join(" ");
  return svg("svg", { class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, points.length > 1 && svg("polyline", { points: line }));
}

/** A menu that opens below its head, to the side where there is room; one at a time, see `closeMenus`. */
export function menu(head: HTMLElement | string, body: HTMLElement, more: { class?: string; label?: string; title?: string } = {}): HTMLDetailsElement {
  const summary = h("summary", { "aria-label": more.label, title: more.title }, head);
  const box: HTMLDetailsElement = h("details", { class: `menu ${more.class ?? ""}`, name: "menu" }, summary, body);
  box.addEventListener("toggle", () => {
    body.classList.remove("leftwards");
    body.classList.toggle("leftwards", body.getBoundingClientRect().right > innerWidth);
  });
  return box;
}

/** Every open menu that does not hold this one; was there any? */
export function closeMenus(around: Node | null): boolean {
  const open = [...document.querySelectorAll("details.menu[open]")].filter((one) => !one.contains(around));
  for (const one of open) one.removeAttribute("open");
  return open.length > 0;
}

/** A table with a head; an empty heading is a cell that is none, one with > in front is of numbers. */
export function table(heads: string[], rows: HTMLElement[], caption?: Child): HTMLElement {
  const head = h("tr", {}, ...heads.map((one) => (one ? h("th", { scope: "col", class: one.startsWith(">") && "number" }, one.replace(/^>/, "")) : h("td", {}))));
  return h("table", {}, caption ? h("caption", {}, caption) : null, h("thead", {}, head), h("tbody", {}, ...rows));
}

/** Terms and what they are. */
export function facts(...pairs: [string, Child][]): HTMLElement {
  return h("dl", { class: "facts" }, ...pairs.filter(([, what]) => what).flatMap(([term, what]) => [h("dt", {}, term), h("dd", {}, what)]));
}

/** Among many buttons in rows one takes the tab key; arrows go to the others. */
export function roving(body: HTMLElement): void {
  const rows = (): HTMLElement[][] => [...body.querySelectorAll("tr")].map((row) => [...row.querySelectorAll<HTMLElement>("button")]).filter((row) => row.length);
  rows().flat().forEach((one, index) => (one.tabIndex = index ? -1 : 0));
  body.addEventListener("keydown", (event) => {
    const all = rows();
    const y = all.findIndex((row) => row.includes(event.target as HTMLElement));
    const x = all[y]?.indexOf(event.target as HTMLElement) ?? -1;
    const step: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const by = step[event.key];
    const next = by && all[y + by[1]]?.[x + by[0]];
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    all.flat().forEach((one) => (one.tabIndex = one === next ? 0 : -1));
    next.focus();
  });
}

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no secure context, or not allowed
  }
}
