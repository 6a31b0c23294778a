// The page: a lamp, four tabs, keys, and the address that holds it all.

import "./locale"; // before all that formats numbers
import "uplot/dist/uPlot.min.css";
import "./page.css";
import { call, key, told, type Health } from "./api";
import { closeMenus, facts, fill, h, name } from "./dom";
import { Files } from "./files";
import { leftOut, read, write, type View } from "./link";
import { Overview } from "./overview";
import { Pipeline } from "./pipeline";
import { Trend } from "./trend";

const LAMP_MS = 3_000;
const KEYS: [string, string][] = [
  ["1 2 3 4", "the tabs"],
  ["/", "search"],
  ["← →", "earlier, later"],
  ["+ −", "zoom in, out; also the wheel, a drag over the chart, two fingers"],
  ["Shift + drag", "move the window; also a drag on the time axis, one finger"],
  ["L", "live: follow now"],
  [", .", "cursor to the point before, to the next"],
  ["Enter", "where the point at the cursor came from"],
  ["A B", "set two cursors, for the difference between"],
  ["X", "remove both"],
  ["C", "copy the link"],
  ["T", "time zone: UTC or this browser's"],
  ["?", "this help"],
];

const now = (): number => Date.now() / 1000;
const here = (): View => read(location.search, now());
const view = here();
if (!new URLSearchParams(location.search).has("tab") && !view.pens.length && !location.pathname.endsWith("/explore")) view.tab = "overview";

const changed = (settle: boolean): void => {
  const address = `explore${write(view)}`;
  if (settle) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
};
const trend = new Trend(view, changed);
const tabs = { trend, overview: new Overview(view, changed), pipeline: new Pipeline(), files: new Files(view, changed) };
const labels: Record<View["tab"], string> = { trend: "Trend", overview: "Overview", pipeline: "Pipeline", files: "Files" };

const lamp = h("p", { class: "lamp", role: "status" }, "…");
const help = h("dialog", { class: "help", "aria-label": "Keys" }, h("h2", {}, "Keys"), facts(...KEYS), h("form", { method: "dialog" }, h("button", {}, "Close")));
help.querySelector("form")?.addEventListener("submit", (event) => (event.preventDefault(), help.close()));
const zone = h("select", { title: "Time zone (T: UTC or this browser's)", "aria-label": "Time zone", change: () => useZone(zone.value) });
const theme = h("button", { title: "Dark or light", "aria-label": "Dark or light", click: () => turnTheme() }, "◐");
const forget = h("button", { title: "Forget the API key of this tab", click: () => useKey("") }, "Forget key");
const bar = h("div", { class: "tabs", role: "tablist", "aria-label": "Views" });
const stage = h("div", { id: "stage", role: "tabpanel", tabindex: -1 });
const given = h("input", { type: "password", id: "key", autocomplete: "off", "aria-label": "API key", required: true });
const keyForm = h(
  "form",
  { class: "key", role: "alert", hidden: true, submit: (event: Event) => (event.preventDefault(), useKey(given.value.trim())) },
  h("span", { id: "why" }),
  given,
  h("button", {}, "Use this key"),
);
const banner = h(
  "header",
  {},
  h("h1", {}, h("img", { src: "page/icon.svg", alt: "", width: 22, height: 22 }), h("span", {}, "Explorer")),
  bar,
  lamp,
  h("div", { class: "tools" }, forget, zone, theme, h("button", { title: "Keys (?)", "aria-label": "Help", click: () => turnHelp() }, "?"), h("a", { href: "docs" }, "API")),
);
const unread = h("p", { class: "unread", role: "status", hidden: true });
fill(document.getElementById("app") as HTMLElement, banner, keyForm, unread, help, h("main", {}, stage));

/** What a link says in vain is told once, with the rest of it shown. */
function tellLeftOut(): void {
  const found = leftOut(location.search);
  unread.hidden = !found.length;
  const shown = found.map((one) => h("code", {}, name(one, 120))).flatMap((one, place) => (place ? [", ", one] : [one]));
  fill(unread, "This link says something the page does not understand, and leaves out: ", ...shown, " ", h("button", { click: () => (unread.hidden = true) }, "Close"));
}

function show(): void {
  for (const [name, tab] of Object.entries(tabs)) if (name !== view.tab) tab.hide();
  fill(bar, ...Object.entries(labels).map(([name, label]) => h("button", { role: "tab", id: `tab-${name}`, "aria-selected": String(name === view.tab), click: () => turn(name as View["tab"]) }, label)));
  stage.setAttribute("aria-labelledby", `tab-${view.tab}`);
  document.title = `${labels[view.tab]} · Explorer`;
  forget.hidden = !key.get();
  showZones();
  const tab = tabs[view.tab];
  if (stage.firstChild !== tab.element) fill(stage, tab.element);
  tab.show();
}

function turn(tab: View["tab"]): void {
  view.tab = tab;
  changed(true);
  show();
  document.getElementById(`tab-${tab}`)?.focus();
}

const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

function showZones(): void {
  if (!zone.options.length) fill(zone, ...[...new Set(["UTC", ownZone, ...Intl.supportedValuesOf("timeZone")])].map(zoneChoice));
  if (![...zone.options].some((one) => one.value === view.zone)) zone.prepend(zoneChoice(view.zone));
  zone.value = view.zone;
}

const zoneChoice = (one: string): HTMLElement => h("option", { value: one }, one);

function useZone(one: string): void {
  view.zone = one;
  changed(true);
  show();
}

const turnZone = (): void => useZone(view.zone === "UTC" ? ownZone : "UTC");

function turnTheme(): void {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark === "dark" ? "light" : "dark";
  show();
}

function turnHelp(): void {
  if (help.open) help.close();
  else help.showModal();
}

function useKey(text: string): void {
  key.set(text);
  given.value = "";
  keyForm.hidden = true;
  void trend.picker.load();
  show();
}

addEventListener("key-needed", () => {
  const why = key.get() ? "The API key of this tab is not valid, or not any more." : "This service asks for an API key.";
  const words = keyForm.querySelector("#why") as HTMLElement;
  if (words.textContent !== why) fill(words, why);
  keyForm.hidden = false;
});

async function light(): Promise<void> {
  try {
    const health = await call<Health>("health");
    const { received_readings: received, stored_readings: stored } = health.lamp;
    lamp.className = `lamp ${received === stored ? health.status : "down"}`;
    fill(lamp, h("span", { class: "dot", "aria-hidden": "true" }), `${health.lamp.line}${health.status === "ok" ? "" : ` · ${health.status}`}`);
  } catch (error) {
    lamp.className = "lamp down";
    fill(lamp, h("span", { class: "dot", "aria-hidden": "true" }), told(error));
  }
  setTimeout(() => void light(), LAMP_MS);
}

addEventListener("pointerdown", (event) => closeMenus(event.target as Node));
addEventListener("popstate", () => {
  Object.assign(view, here());
  tellLeftOut();
  show();
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const target = event.target as HTMLElement;
  if (event.key === "Escape" && closeMenus(null)) return;
  if (target.matches("input, select, textarea")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (pressed === "Enter" && target.matches("button, a, summary")) return;
  if (target.matches("[role=tab]") && /^Arrow(Left|Right)$/.test(pressed)) {
    const names = Object.keys(labels) as View["tab"][];
    turn(names[(names.indexOf(view.tab) + (pressed === "ArrowRight" ? 1 : 3)) % 4] ?? "trend");
    return event.preventDefault();
  }
  const tab = Object.keys(labels)[Number(pressed) - 1] as View["tab"] | undefined;
  if (pressed === "/") document.querySelector<HTMLElement>("#stage input[type=search]")?.focus();
  else if (pressed === "?") turnHelp();
  else if (pressed === "t") turnZone();
  else if (tab) turn(tab);
  else if (view.tab !== "trend" || !trend.key(pressed)) return;
  event.preventDefault();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

tellLeftOut();
show();
void light();
