// What stands above the chart: how long, from when, against what, and where else to.

import { fill, h, menu } from "./dom";
import { exportMenu } from "./exports";
import { duration, span, type View } from "./link";

const RANGES = ["15min", "1h", "8h", "1d", "1w", "30d"];
const RESOLUTIONS = ["auto", "raw", "minute", "hour", "day"];
const SILENCES = ["2", "5", "20", "100"];
const SHIFTS: Record<string, string> = { "": "nothing", "1h": "an hour before", "1d": "the day before", "1w": "last week", "4w": "four weeks before" };

export const shiftWords = (seconds: number): string => SHIFTS[seconds ? span(seconds) : ""] ?? `${span(seconds)} before`;

export interface Tools {
  /** What a key does, for those who press it here. */
  key(key: string): void;
  live(length?: number): void;
  window(from: number, to: number): void;
  changed(): void;
  say(words: string): void;
  picture(): void;
}

export function showTools(into: HTMLElement, view: View, tools: Tools): void {
  const length = span(Math.round(view.to - view.from));
  const button = (label: string, title: string, click: () => void, pressed?: boolean): HTMLElement =>
    h("button", { title, click, "aria-pressed": pressed === undefined ? undefined : String(pressed) }, label);
  const named = (label: string, name: string, key: string): HTMLElement => h("button", { title: name, "aria-label": name, click: () => tools.key(key) }, label);
  const group = (...buttons: HTMLElement[]): HTMLElement => h("div", { class: "group" }, ...buttons);
  const choice = (label: string, options: string[], now: string, set: (one: string) => void, words = (one: string): string => one): HTMLElement => {
    const all = options.includes(now) ? options : [...options, now];
    const select = h("select", { change: () => (set(select.value), tools.changed()) }, ...all.map((one) => h("option", { value: one, selected: one === now }, words(one))));
    return h("label", {}, `${label} `, select);
  };
  fill(
    into,
    group(...RANGES.map((range) => button(range, `The last ${range}, live`, () => tools.live(duration(range)), view.live && range === length))),
    group(named("◀", "Earlier (left arrow)", "ArrowLeft"), named("▶", "Later (right arrow)", "ArrowRight"), named("−", "Zoom out (-)", "-"), named("+", "Zoom in (+)", "+")),
    h("button", { class: "live", title: "Follow now (L)", "aria-pressed": String(view.live), click: () => tools.live() }, h("span", { class: "dot", "aria-hidden": "true" }), "Live"),
    fixed(view, tools),
    menu(
      view.shift ? `Over ${span(view.shift)} ago` : "Compare",
      h("div", {}, choice("Lay over this", Object.keys(SHIFTS), view.shift ? span(view.shift) : "", (one) => (view.shift = duration(one)), (one) => shiftWords(duration(one)))),
    ),
    menu(
      "Options",
      h(
        "div",
        {},
        choice("Resolution", RESOLUTIONS, view.resolution, (one) => (view.resolution = one)),
        choice("Silence over", SILENCES, String(view.gap), (one) => (view.gap = Number(one)), (one) => `${one} × the usual interval`),
      ),
    ),
    exportMenu(view, (text) => tools.say(text), () => tools.picture()),
    button("Copy link", "The chart as an address; its time stands still unless it is live (C)", () => tools.key("c")),
  );
}

/** From and to as one may type them: ISO 8601, with an offset or in UTC. */
function fixed(view: View, tools: Tools): HTMLElement {
  const field = (label: string, seconds: number): HTMLInputElement =>
    h("input", { type: "text", "aria-label": label, size: 24, spellcheck: "false", value: new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z") });
  const [from, to] = [field("From", view.from), field("To", view.to)];
  const set = (event: Event): void => {
    event.preventDefault();
    const [start, end] = [Date.parse(from.value) / 1000, Date.parse(to.value) / 1000];
    if (start < end) tools.window(start, end);
    else tools.say("From and to are times such as 2026-01-31T08:00:00+01:00, the second one later.");
  };
  return menu("From, to", h("form", { submit: set }, h("label", {}, "From ", from), h("label", {}, "To ", to), h("button", {}, "Show")));
}
