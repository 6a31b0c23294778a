// The tab Trend: pens over time, as the address says.

import { address, ask, iso, sensorsOf, told, type Parameters, type Sensor } from "./api";
import { Chart, COLOURS, type Drawn } from "./chart";
import { download, fill, h, name, state } from "./dom";
import { duration, MAX_PENS, span, type Pen, type View } from "./link";
import { Picker } from "./picker";
import { line, valueAt, type Line } from "./series";
import { age, count, moment, value } from "./words";

const RANGES = ["15min", "1h", "8h", "1d", "1w", "30d"];
const LIVE_MS = 2_000;
const POINTS = 2_000;

export class Trend {
  readonly element: HTMLElement;
  readonly picker: Picker;
  private readonly note = h("p", { class: "note", role: "status" });
  private readonly tools = h("div", { class: "tools" });
  private readonly table = h("div", { class: "scroll" });
  private readonly blank = h("div");
  private readonly chart: Chart;
  private readonly intervals = new Map<string, number | null>();
  private lines: (Line | undefined)[] = [];
  private marks: Record<string, number> = {};
  private at: number | null = null;
  private asking: AbortController | null = null;
  private timer = 0;
  private frame = 0;

  constructor(
    private readonly view: View,
    private readonly changed: (settle: boolean) => void,
  ) {
    this.chart = new Chart({
      zoom: (from, to) => this.window(from, to),
      cursor: (time) => {
        this.at = time;
        if (!this.frame) this.frame = requestAnimationFrame(() => ((this.frame = 0), this.showTable()));
      },
    });
    this.picker = new Picker((asset, sensor) => this.toggle(asset, sensor));
    this.element = h("div", { class: "trend" }, this.picker.element, h("section", { class: "main" }, this.tools, this.blank, this.chart.element, this.note, this.table));
  }

  show(): void {
    this.showTools();
    void this.load();
  }

  hide(): void {
    clearTimeout(this.timer);
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
      l: () => this.live(),
      a: () => this.mark("A"),
      b: () => this.mark("B"),
      c: () => void this.copy(location.href, "The link"),
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

  private mark(label: string): void {
    if (this.at === null) return;
    this.marks[label] = this.at;
    this.chart.mark(this.marks);
    this.showTable();
  }

  private toggle(asset: string, sensor: Sensor): void {
    const { pens } = this.view;
    const index = pens.findIndex((pen) => pen.asset === asset && pen.sensor === sensor.sensor_name);
    if (index >= 0) pens.splice(index, 1);
    else if (pens.length >= MAX_PENS) {
      this.say(`A chart takes ${MAX_PENS} pens; remove one first.`);
      return;
    } else pens.push({ asset, sensor: sensor.sensor_name, step: false });
    this.intervals.set(key(asset, sensor.sensor_name), sensor.usual_interval_seconds);
    this.go();
  }

  /** Fetch every pen for the window; the newest question alone is drawn. */
  private async load(): Promise<void> {
    clearTimeout(this.timer);
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    if (this.view.live) {
      const now = Date.now() / 1000;
      Object.assign(this.view, { from: now - (this.view.to - this.view.from), to: now });
    }
    const { pens, from, to, shift } = this.view;
    if (!pens.length) {
      this.chart.clear();
      this.lines = [];
      fill(this.table);
      fill(this.note);
      fill(this.blank, state("empty", "Choose a sensor on the left: open an asset, then press its sensors. Up to ten share the chart."));
      return;
    }
    if (!this.chart.laneCount) fill(this.blank, state("loading", "Loading readings …"));
    const began = performance.now();
    try {
      await this.learn(pens);
      const [now, before] = await Promise.all([
        Promise.all(pens.map((pen) => this.fetch(pen, from, to, 0, asking.signal))),
        shift ? Promise.all(pens.map((pen) => this.fetch(pen, from - shift, to - shift, shift, asking.signal))) : [],
      ]);
      if (asking.signal.aborted) return;
      this.lines = now;
      fill(this.blank, now.every((one) => !one.points) && state("empty", "No readings in this window. ", this.jump()));
      this.draw(now, before);
      this.showNote(now, performance.now() - began);
    } catch (error) {
      if (asking.signal.aborted) return;
      fill(this.blank, state("error", told(error)), h("button", { click: () => void this.load() }, "Try again"));
      this.timer = window.setTimeout(() => void this.load(), 2 * LIVE_MS);
      return;
    }
    if (this.view.live) this.timer = window.setTimeout(() => void this.load(), LIVE_MS);
  }

  private async fetch(pen: Pen, from: number, to: number, offset: number, signal: AbortSignal): Promise<Line> {
    const { zone, resolution, gap } = this.view;
    const answer = await ask(pen.asset, pen.sensor, from, to, zone, resolution, POINTS, signal);
    return line(answer, this.intervals.get(key(pen.asset, pen.sensor)) ?? null, gap, offset);
  }

  /** How often each pen's sensor usually speaks, asked once an asset. */
  private async learn(pens: Pen[]): Promise<void> {
    const unknown = pens.filter((pen) => !this.intervals.has(key(pen.asset, pen.sensor)));
    for (const pen of unknown) this.intervals.set(key(pen.asset, pen.sensor), null);
    await Promise.all(
      [...new Set(unknown.map((pen) => pen.asset))].map(async (asset) => {
        const { sensors } = await sensorsOf(asset);
        for (const one of sensors) this.intervals.set(key(asset, one.sensor_name), one.usual_interval_seconds);
      }),
    ).catch((error) => {
      for (const pen of unknown) this.intervals.delete(key(pen.asset, pen.sensor));
      throw error;
    });
  }

  private draw(now: Line[], before: Line[]): void {
    const drawn = (shifted: boolean) => (one: Line, index: number): Drawn => {
      const pen = this.view.pens[index];
      return { title: pen ? `${pen.asset}/${pen.sensor}` : "", line: one, step: pen?.step ?? false, colour: COLOURS[index] ?? "#666", shifted };
    };
    this.chart.draw([...now.map(drawn(false)), ...before.map(drawn(true))], this.view.from, this.view.to, this.view.zone);
    this.chart.mark(this.marks);
    this.showTable();
  }

  private jump(): HTMLElement {
    const show = async (): Promise<void> => {
      const pen = this.view.pens[0];
      if (!pen) return;
      const { sensors } = await sensorsOf(pen.asset);
      const last = sensors.find((one) => one.sensor_name === pen.sensor)?.last;
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
    const from = thinned ? "thinned to real readings (M4)" : resolutions === "raw" ? "every reading" : `from ${count(readings)} readings`;
    const { zone } = this.view;
    fill(
      this.note,
      `${resolutions} · ${count(points)} points ${from} · extremes kept · ${Math.round(took)} ms · `,
      `${moment(this.view.from, zone)} to ${moment(this.view.to, zone)} · ${zone}`,
    );
  }

  private say(text: string): void {
    fill(this.note, text);
  }

  private async copy(text: string, what: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      this.say(`${what} is copied.`);
    } catch {
      this.say(text);
    }
  }

  private showTools(): void {
    const { view } = this;
    const length = span(Math.round(view.to - view.from));
    const button = (label: string, title: string, click: () => void, pressed?: boolean): HTMLElement =>
      h("button", { title, click, "aria-pressed": pressed }, label);
    fill(
      this.tools,
      ...RANGES.map((range) => button(range, `The last ${range}, live`, () => this.live(duration(range)), view.live && range === length)),
      button("◀", "Earlier (left arrow)", () => this.key("ArrowLeft")),
      button("▶", "Later (right arrow)", () => this.key("ArrowRight")),
      button("−", "Zoom out (-)", () => this.key("-")),
      button("+", "Zoom in (+)", () => this.key("+")),
      button("Live", "Follow now (L)", () => this.live(), view.live),
      this.choice("Compare", ["", "1h", "1d", "1w"], view.shift ? span(view.shift) : "", (one) => (view.shift = duration(one)), "nothing"),
      this.choice("Resolution", ["auto", "raw", "minute", "hour", "day"], view.resolution, (one) => (view.resolution = one)),
      this.choice("Gap over", ["2", "5", "20", "100"], String(view.gap), (one) => (view.gap = Number(one)), "", "× usual"),
      button("Copy link", "The chart as an address; its time stands still unless it is live (C)", () => this.key("c")),
      this.exports(),
    );
  }

  private choice(label: string, options: string[], now: string, set: (one: string) => void, none = "", unit = ""): HTMLElement {
    const select = h("select", {
      change: () => {
        set(select.value);
        this.go();
      },
    }, ...options.map((one) => h("option", { value: one, selected: one === now }, one ? `${one}${unit}` : none)));
    return h("label", {}, `${label} `, select);
  }

  private parameters(pen: Pen, format?: string): Parameters {
    const { from, to, resolution, zone } = this.view;
    const parameters: Parameters = [["asset", pen.asset], ["sensor", pen.sensor], ["start", iso(from)], ["end", iso(to)], ["resolution", resolution], ["tz", zone]];
    return format ? [...parameters, ["format", format]] : parameters;
  }

  private exports(): HTMLElement {
    const each = (make: (pen: Pen) => string): string => this.view.pens.map(make).join("\n");
    const curl = (pen: Pen): string => `curl '${new URL(address("query", this.parameters(pen, "csv")), document.baseURI).href}'`;
    const python = (pen: Pen): string => {
      const { from, to, resolution } = this.view;
      const words = [pen.asset, pen.sensor].map((one) => JSON.stringify(one)).join(", ");
      return `plant.query(${words}, start="${iso(from)}", end="${iso(to)}", resolution="${resolution}")`;
    };
    const head = `from sensor_storage.client import connect\nplant = connect(${JSON.stringify(new URL(".", document.baseURI).href)})\n`;
    const item = (label: string, click: () => void): HTMLElement => h("button", { click }, label);
    return h(
      "details",
      { class: "menu" },
      h("summary", {}, "Export"),
      h(
        "div",
        {},
        item("Picture (PNG)", () => this.savePicture()),
        item("Copy as curl", () => void this.copy(each(curl), "The command")),
        item("Copy as Python", () => void this.copy(head + each(python), "The program")),
        item("Print", () => window.print()),
      ),
    );
  }

  private savePicture(): void {
    const { from, to, zone } = this.view;
    this.chart.picture(`${moment(from, zone)} – ${moment(to, zone)} (${zone})`).toBlob((blob) => {
      if (!blob) return;
      const url = URL.createObjectURL(blob);
      download(url, "trend.png");
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    });
  }

  private showTable(): void {
    const { A, B } = this.marks;
    const heads = ["pen", "cursor", "A", "B", "Δ", "min", "max", "mean", "time-weighted", "deviation", "n", "good", ""];
    const rows = this.view.pens.map((pen, index) => {
      const one = this.lines[index];
      const at = (time: number | null | undefined): number | null => (one && typeof time === "number" ? valueAt(one, time) : null);
      const [a, b] = [at(A), at(B)];
      const told = one?.statistics;
      const cells = [at(this.at), a, b, a !== null && b !== null ? b - a : null, told?.min, told?.max, told?.mean, told?.weighted, told?.deviation];
      const remove = (): void => {
        this.view.pens.splice(index, 1);
        this.go();
      };
      const step = (): void => {
        pen.step = !pen.step;
        this.go();
      };
      const swatch = h("span", { class: `swatch colour${index}`, "aria-hidden": "true" });
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, swatch, name(pen.asset), " / ", name(pen.sensor), one?.unit ? h("span", { class: "soft" }, ` ${one.unit}`) : null),
        ...cells.map((cell) => h("td", {}, value(cell))),
        h("td", {}, told && !one?.thinned ? count(told.count) : "—"),
        h("td", {}, told?.good === null || !told ? "—" : `${(told.good * 100).toFixed(1)} %`),
        h(
          "td",
          { class: "acts" },
          h("button", { click: step, "aria-pressed": pen.step, title: "Draw as steps" }, "step"),
          h("a", { href: address("query", this.parameters(pen, "csv")), download: "readings.csv" }, "CSV"),
          h("a", { href: address("query", this.parameters(pen, "parquet")), download: "readings.parquet" }, "Parquet"),
          h("button", { click: remove, "aria-label": `Remove ${pen.asset} ${pen.sensor}` }, "✕"),
        ),
      );
    });
    const difference = A !== undefined && B !== undefined ? `B − A = ${age(B - A)}` : "";
    const caption = this.at === null ? `Keys A and B set cursors on the chart. ${difference}` : `Cursor ${moment(this.at, this.view.zone)} ${difference}`;
    if (this.table.contains(document.activeElement)) return this.refreshCells(rows);
    fill(this.table, h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, ...heads.map((head) => (head ? h("th", { scope: "col" }, head) : h("td", {}))))), h("tbody", {}, ...rows)));
  }

  /** Numbers alone, so that whoever is on a button of the table stays there. */
  private refreshCells(rows: HTMLElement[]): void {
    const old = this.table.querySelectorAll("tbody tr");
    if (old.length !== rows.length) {
      (document.activeElement as HTMLElement | null)?.blur();
      this.showTable();
      return;
    }
    rows.forEach((row, index) => {
      const cells = old[index]?.querySelectorAll("td:not(.acts)") ?? [];
      row.querySelectorAll("td:not(.acts)").forEach((cell, place) => fill(cells[place] as Element, cell.textContent));
    });
  }
}

const key = (asset: string, sensor: string): string => JSON.stringify([asset, sensor]);
