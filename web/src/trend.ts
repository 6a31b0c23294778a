// The tab Trend: pens over time, as the address says.

import { ask, call, told, type LatestPage } from "./api";
import { Chart, type Drawn } from "./chart";
import { copy, download, fill, h, state } from "./dom";
import { Legend } from "./legend";
import { freeColour, MAX_PENS, newPen, type Pen, type View } from "./link";
import { Picker } from "./picker";
import { showPoint } from "./point";
import { Readout } from "./readout";
import { median } from "./rows";
import { line, type Line } from "./series";
import { Strip } from "./strip";
import { shiftWords, showTools } from "./toolbar";
import { count, period } from "./words";

const LIVE_MS = 2_000;
const SLOW_MS = 1_000;
const POINTS = 2_000;
/** So many readings are shown as they are; the service itself decides by whole hours. */
const RAW_BELOW = 4_000;
const MOST_RAW = 20_000;

export class Trend {
  readonly element: HTMLElement;
  readonly picker = new Picker((asset, sensor) => this.toggle(asset, sensor));
  private readonly note = h("p", { class: "note", role: "status" });
  private readonly tools = h("div", { class: "tools" });
  private readonly blank = h("div");
  private readonly wait = h("div", { class: "wait" });
  private readonly point = h("aside", { class: "card point", "aria-label": "The chosen point", hidden: true });
  private readonly chart: Chart;
  private readonly strip: Strip;
  private readonly legend: Legend;
  private readonly readout: Readout;
  private readonly intervals = new Map<string, number | null>();
  private lines: (Line | undefined)[] = [];
  private at: number | null = null;
  private asking: AbortController | null = null;
  private timer = 0;
  private slow = 0;
  private frame = 0;

  constructor(
    private readonly view: View,
    private readonly changed: (settle: boolean) => void,
  ) {
    this.chart = new Chart({
      zoom: (from, to) => this.window(from, to),
      follow: () => this.hide(),
      cursor: (time) => this.cursor(time),
      pick: (drawn, point) => this.pick(drawn, point),
    });
    this.strip = new Strip(view, (from, to) => this.window(from, to));
    this.legend = new Legend(view, () => this.go(), (words) => this.say(words));
    this.readout = new Readout(view, (error) => this.say(told(error)));
    this.element = h(
      "div",
      { class: "trend" },
      this.picker.element,
      h("button", { class: "choose", click: () => this.element.classList.toggle("choosing") }, "Choose sensors"),
      h("section", { class: "main" }, this.tools, this.wait, this.legend.element, this.blank, this.chart.element, this.strip.element, this.note, this.point, this.readout.element),
    );
  }

  show(): void {
    this.showTools();
    void this.load();
  }

  hide(): void {
    clearTimeout(this.timer);
    this.waited();
    this.asking?.abort();
  }

  key(key: string): boolean {
    const { from, to } = this.view;
    const length = to - from;
    const keys: Record<string, () => void> = {
      ArrowLeft: () => this.window(from - length / 4, to - length / 4),
      ArrowRight: () => this.window(from + length / 4, to + length / 4),
      "+": () => this.window(from + length / 4, to - length / 4),
      "-": () => this.window(from - length / 2, to + length / 2),
      ",": () => this.step(-1),
      ".": () => this.step(1),
      Enter: () => this.pickAtCursor(),
      l: () => this.live(),
      a: () => this.mark("A"),
      b: () => this.mark("B"),
      x: () => this.unmark(),
      c: () => void this.copyLink(),
      Escape: () => (this.point.hidden = true),
    };
    const act = keys[key];
    act?.();
    return act !== undefined;
  }

  private window(from: number, to: number): void {
    if (to - from < 0.01) return;
    Object.assign(this.view, { from, to, live: false });
    this.go();
  }

  private live(length = this.view.to - this.view.from): void {
    const now = Date.now() / 1000;
    Object.assign(this.view, { live: true, from: now - length, to: now });
    this.go();
  }

  private go(): void {
    this.changed(true);
    this.show();
  }

  private cursor(time: number | null): void {
    this.at = time;
    if (!this.frame) this.frame = requestAnimationFrame(() => ((this.frame = 0), this.legend.read(this.lines, this.at)));
  }

  /** The cursor to the next point of the first pen, for those without a mouse. */
  private step(by: 1 | -1): void {
    const times = this.lines[0]?.times ?? [];
    const at = this.at ?? (by > 0 ? this.view.from : this.view.to);
    const next = by > 0 ? times.find((time) => time > at + 1e-6) : times.filter((time) => time < at - 1e-6).at(-1);
    if (next === undefined) return;
    this.cursor(next);
    this.chart.mark({ ...this.view.marks, "": next });
  }

  private pickAtCursor(): void {
    const first = this.lines[0];
    const point = first && this.at !== null ? first.times.indexOf(this.at) : -1;
    if (first && point >= 0) this.pick(this.drawn(first, 0, false), point);
  }

  private mark(label: "A" | "B"): void {
    this.view.marks[label] = this.at ?? (this.view.from + this.view.to) / 2;
    this.marked();
  }

  private unmark(): void {
    this.view.marks = {};
    this.marked();
  }

  private marked(): void {
    this.changed(false);
    this.chart.mark(this.view.marks);
    this.readout.show(this.lines);
  }

  private toggle(asset: string, sensor: string): void {
    const { pens } = this.view;
    const index = pens.findIndex((pen) => pen.asset === asset && pen.sensor === sensor);
    if (index >= 0) pens.splice(index, 1);
    else if (pens.length >= MAX_PENS) return this.say(`A chart takes ${MAX_PENS} pens; remove one first.`);
    else pens.push(newPen(asset, sensor, freeColour(pens)));
    this.element.classList.remove("choosing");
    this.go();
  }

  /** Fetch every pen for the window; the newest question alone is drawn. */
  private async load(): Promise<void> {
    clearTimeout(this.timer);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    if (this.view.live) {
      const now = Date.now() / 1000;
      Object.assign(this.view, { from: now - (this.view.to - this.view.from), to: now });
    }
    const { pens, from, to, shift } = this.view;
    this.legend.show();
    if (!pens.length) return this.empty();
    if (this.chart.isEmpty) fill(this.blank, state("loading", "Loading readings …"));
    const began = performance.now();
    this.waiting(asking, began);
    try {
      await this.learn(pens, asking.signal);
      const [now, before] = await Promise.all([
        Promise.all(pens.map((pen) => this.fetch(pen, from, to, 0, asking.signal))),
        shift ? Promise.all(pens.map((pen) => this.fetch(pen, from - shift, to - shift, shift, asking.signal))) : [],
      ]);
      if (asking.signal.aborted) return;
      this.lines = now;
      fill(this.blank, now.every((one) => !one.points) && state("empty", "No readings in this window. ", this.jump()));
      this.draw(now, before);
      this.showNote(now, performance.now() - began);
      void this.strip.show(Date.now() / 1000);
    } catch (error) {
      if (asking.signal.aborted) return;
      fill(this.blank, state("error", told(error), " ", h("button", { click: () => void this.load() }, "Try again")));
      this.timer = window.setTimeout(() => void this.load(), 2 * LIVE_MS);
      return;
    } finally {
      if (this.asking === asking) this.waited();
    }
    if (this.view.live) this.timer = window.setTimeout(() => void this.load(), LIVE_MS);
  }

  private empty(): void {
    this.chart.clear();
    this.strip.clear();
    this.lines = [];
    this.readout.show([]);
    fill(this.note);
    fill(this.blank, state("empty", "Choose a sensor on the left: search for it, or open an asset. Up to ten share the chart."));
  }

  /** After a second the page says that it waits, for how long, and how to end that. */
  private waiting(asking: AbortController, began: number): void {
    clearInterval(this.slow);
    const cancel = (): void => {
      asking.abort();
      this.waited();
      fill(this.blank, state("empty", "The question was cancelled. ", h("button", { click: () => void this.load() }, "Ask again")));
    };
    const button = h("button", { click: cancel }, "Cancel");
    const words = h("span", { role: "status" });
    this.slow = window.setInterval(() => {
      if (!this.wait.childElementCount) fill(this.wait, h("span", { class: "bar", "aria-hidden": "true" }), words, button);
      fill(words, `The service works on it for ${Math.round((performance.now() - began) / 1000)} s; a shorter time or a coarser resolution is sooner. `);
    }, SLOW_MS);
  }

  private waited(): void {
    clearInterval(this.slow);
    fill(this.wait);
  }

  private async fetch(pen: Pen, from: number, to: number, offset: number, signal: AbortSignal): Promise<Line> {
    const { zone, resolution, gap } = this.view;
    const usual = this.intervals.get(keyOf(pen)) ?? null;
    const few = resolution === "auto" && usual !== null && to - from <= usual * RAW_BELOW;
    const answer = await ask(pen.asset, pen.sensor, from, to, zone, few ? "raw" : resolution, few ? MOST_RAW : POINTS, signal);
    return line(answer, usual, gap, offset, { from: from + offset, to: Math.min(to, Date.now() / 1000) + offset });
  }

  /** How often each pen's sensor usually speaks, by its newest readings; asked once. */
  private async learn(pens: Pen[], signal: AbortSignal): Promise<void> {
    const unknown = pens.filter((pen) => !this.intervals.has(keyOf(pen)));
    for (const asset of new Set(unknown.map((pen) => pen.asset))) {
      const sensors = unknown.filter((pen) => pen.asset === asset).map((pen): [string, string] => ["sensor", pen.sensor]);
      const page = await call<LatestPage>("latest", [["asset", asset], ...sensors, ["recent", 100]], { signal });
      for (const [, sensor] of sensors) {
        const recent = page.readings.find((one) => one.sensor_name === sensor)?.recent ?? [];
        this.intervals.set(keyOf({ asset, sensor }), recent.length > 4 ? median(recent.map(([time]) => time)) : null);
      }
    }
  }

  private drawn(one: Line, index: number, shifted: boolean): Drawn {
    const pen = this.view.pens[index];
    const { asset, sensor, step, own, scale, colour } = pen ?? newPen("", "");
    return { title: `${asset}/${sensor}`, line: one, step, own, scale, colour, number: index, shifted };
  }

  private draw(now: Line[], before: Line[]): void {
    const all = [...now.map((one, index) => this.drawn(one, index, false)), ...before.map((one, index) => this.drawn(one, index, true))];
    this.chart.draw(all, this.view.from, this.view.to, this.view.zone);
    this.chart.mark(this.view.marks);
    this.legend.read(this.lines, this.at);
    this.readout.show(this.lines);
  }

  private pick(drawn: Drawn, point: number): void {
    const pen = this.view.pens[drawn.number];
    if (!pen) return;
    this.point.hidden = false;
    const shown = showPoint(this.point, this.view, pen, drawn, point, () => (this.point.hidden = true), (from, to) => this.window(from, to));
    void shown.then(() => this.point.scrollIntoView({ block: "nearest" }));
  }

  private jump(): HTMLElement {
    const show = async (): Promise<void> => {
      const pen = this.view.pens[0];
      if (!pen) return;
      const last = (await call<LatestPage>("latest", [["asset", pen.asset], ["sensor", pen.sensor]])).readings[0];
      if (!last) return this.say("Nothing is stored of this sensor.");
      const end = Date.parse(last.timestamp) / 1000;
      const length = this.view.to - this.view.from;
      this.window(end - length * 0.9, end + length * 0.1);
    };
    return h("button", { click: () => void show() }, "Go to its last readings");
  }

  private showNote(lines: Line[], took: number): void {
    const points = lines.reduce((total, one) => total + one.points, 0);
    const resolutions = [...new Set(lines.map((one) => one.resolution))].join(", ");
    const thinned = lines.some((one) => one.thinned);
    const readings = lines.reduce((total, one) => total + one.readings, 0);
    const from = thinned ? "points thinned to real readings (M4)" : resolutions === "raw" ? "points · every reading" : `points from ${count(readings)} readings`;
    const tiers = ["staging", "local", "cloud"].filter((tier) => lines.some((one) => one.tiers[tier]));
    const server = Math.max(0, ...lines.map((one) => one.took));
    const { shift } = this.view;
    const warnings = [...new Set(lines.flatMap((one) => one.warnings))];
    const key = (shown: boolean, kind: string, words: string): HTMLElement | null => (shown ? h("span", { class: "key-of" }, h("span", { class: `sign ${kind}`, "aria-hidden": "true" }), words) : null);
    fill(
      this.note,
      h("span", { class: "told" }, h("strong", {}, resolutions), ` · ${count(points)} ${from} · extremes kept · ${tiers.length ? `${tiers.join(", ")} answered` : "answered"} in ${Math.round(server)} ms, drawn in ${Math.round(took)} ms`),
      key(lines.some((one) => one.gaps.length), "gap", "no readings"),
      key(lines.some((one) => one.bad.length), "bad", "bad"),
      key(lines.some((one) => one.nulls.length), "null", "null"),
      shift ? h("span", { class: "key-of" }, `dashed: ${shiftWords(shift)}`) : null,
      h("span", { class: "window" }, period(this.view.from, this.view.to, this.view.zone)),
      ...warnings.map((one) => h("span", { class: "warning" }, ` ⚠ ${one}`)),
    );
  }

  private say(text: string): void {
    fill(this.note, text);
  }

  private async copyLink(): Promise<void> {
    this.say((await copy(location.href)) ? "The link is copied." : location.href);
  }

  private showTools(): void {
    showTools(this.tools, this.view, {
      key: (key) => this.key(key),
      live: (length) => this.live(length),
      window: (from, to) => this.window(from, to),
      changed: () => this.go(),
      say: (words) => this.say(words),
      picture: () => this.savePicture(),
    });
  }

  private savePicture(): void {
    const { from, to, zone } = this.view;
    this.chart.picture(period(from, to, zone)).toBlob((blob) => {
      if (!blob) return;
      const url = URL.createObjectURL(blob);
      download(url, "trend.png");
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    });
  }
}

const keyOf = (pen: Pick<Pen, "asset" | "sensor">): string => JSON.stringify([pen.asset, pen.sensor]);
