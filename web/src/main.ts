// The page: a lamp, four tabs, keys, and the address that holds it all.

import "uplot/dist/uPlot.min.css";
import "./page.css";
import { call, told, type Health } from "./api";
import { fill, h } from "./dom";
import { Files } from "./files";
import { read, write, type View } from "./link";
import { Overview } from "./overview";
import { Pipeline } from "./pipeline";
import { Trend } from "./trend";

const LAMP_MS = 3_000;
const KEYS = "Keys: / search · arrows pan · + − zoom · L live · A B cursors · C copy link · T zone · 1 to 4 tabs · ? this help";

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
const tabs = { trend, overview: new Overview(view, changed), pipeline: new Pipeline(), files: new Files() };
const labels: Record<View["tab"], string> = { trend: "Trend", overview: "Overview", pipeline: "Pipeline", files: "Files" };

const lamp = h("p", { class: "lamp", role: "status" }, "…");
const help = h("p", { class: "note", hidden: true }, KEYS);
const zone = h("button", { title: "Time zone (T): UTC or this browser's", click: () => turnZone() });
const theme = h("button", { title: "Dark or light", "aria-label": "Dark or light", click: () => turnTheme() }, "◐");
const bar = h("div", { class: "tabs", role: "tablist", "aria-label": "Views" });
const stage = h("div", { id: "stage", role: "tabpanel", tabindex: -1 });
const banner = h(
  "header",
  {},
  h("h1", {}, "Explorer"),
  bar,
  lamp,
  h("div", { class: "tools" }, zone, theme, h("button", { title: "Help (?)", "aria-label": "Help", click: () => (help.hidden = !help.hidden) }, "?"), h("a", { href: "docs" }, "API")),
);
fill(document.getElementById("app") as HTMLElement, banner, help, h("main", {}, stage));

function show(): void {
  for (const [key, tab] of Object.entries(tabs)) if (key !== view.tab) tab.hide();
  fill(bar, ...Object.entries(labels).map(([key, label]) => h("button", { role: "tab", id: `tab-${key}`, "aria-selected": String(key === view.tab), click: () => turn(key as View["tab"]) }, label)));
  stage.setAttribute("aria-labelledby", `tab-${view.tab}`);
  fill(zone, view.zone);
  const tab = tabs[view.tab];
  if (stage.firstChild !== tab.element) fill(stage, tab.element);
  tab.show();
}

function turn(tab: View["tab"]): void {
  view.tab = tab;
  changed(true);
  show();
}

function turnZone(): void {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  view.zone = view.zone === "UTC" ? own : "UTC";
  changed(true);
  show();
}

function turnTheme(): void {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark === "dark" ? "light" : "dark";
  show();
}

async function light(): Promise<void> {
  try {
    const health = await call<Health>("health");
    const { received_readings: received, stored_readings: stored } = health.lamp;
    lamp.className = `lamp ${received === stored ? health.status : "down"}`;
    fill(lamp, `● ${health.lamp.line}${health.status === "ok" ? "" : ` · ${health.status}`}`);
  } catch (error) {
    lamp.className = "lamp down";
    fill(lamp, `● ${told(error)}`);
  }
  setTimeout(() => void light(), LAMP_MS);
}

addEventListener("popstate", () => {
  Object.assign(view, here());
  show();
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = (event.target as HTMLElement).matches("input, select, textarea");
  if (typing) {
    if (event.key === "Escape") (event.target as HTMLElement).blur();
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const tab = Object.keys(labels)[Number(key) - 1] as View["tab"] | undefined;
  if (key === "/") document.querySelector<HTMLElement>("#stage input[type=search]")?.focus();
  else if (key === "?") help.hidden = !help.hidden;
  else if (key === "t") turnZone();
  else if (tab) turn(tab);
  else if (view.tab !== "trend" || !trend.key(key)) return;
  event.preventDefault();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

show();
void light();
