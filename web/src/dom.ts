// Elements. A name from a message only ever becomes a text node or an attribute's value, never markup.

export type Child = Node | string | null | undefined | false;
export type Attributes = Record<string, string | number | boolean | ((event: any) => void) | undefined>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  fill(element, ...children);
  return element;
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
