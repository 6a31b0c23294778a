// Lanes of pens over one time axis. uPlot gives axes, cursor and selection; the pens are drawn here, each with its own times.

import uPlot from "uplot";
import { h } from "./dom";
import { movable, wheeled, type Moves, type Span } from "./gestures";
import { paint, paintBelow, paintMarks, paintStates, type Sheet } from "./paint";
import { picture } from "./picture";
import { nearest, type Line } from "./series";

export interface Drawn {
  title: string;
  line: Line;
  step: boolean;
  own: boolean;
  scale: [number, number] | null;
  colour: number;
  /** Its place among the pens. */
  number: number;
  /** Of an earlier time, laid over. */
  shifted: boolean;
}

export interface Events {
  /** The window is another now. */
  zoom(from: number, to: number): void;
  /** A hand moves it; nothing may be drawn anew meanwhile. */
  follow(): void;
  cursor(time: number | null): void;
  pick(pen: Drawn, point: number): void;
}

interface Lane {
  plot: uPlot;
  pens: Drawn[];
  text: boolean;
}

const SYNC = "explorer";
const TEXT_HEIGHT = 52;
const CLOCK = 44;
const FONT = "12px system-ui, sans-serif";
const PRESS_PIXELS = 4;

export class Chart {
  readonly element = h("div", { class: "chart", role: "img", "aria-label": "Chart of the chosen pens; the table below has its numbers" });
  private lanes: Lane[] = [];
  private shape = "";
  private from = 0;
  private to = 1;
  private colours: string[] = [];
  private marks: Record<string, number> = {};

  constructor(private readonly events: Events) {
    new ResizeObserver(() => {
      for (const { plot } of this.lanes) if (plot.width !== this.width()) plot.setSize({ width: this.width(), height: plot.height });
    }).observe(this.element);
    // What is drawn, for tests and for whoever looks with the browser's tools.
    Object.assign(this.element, {
      drawn: () => this.lanes.map(({ pens }) => ({ pens })),
      redraw: () => this.lanes.forEach(({ plot }) => plot.redraw(false)),
    });
  }

  get isEmpty(): boolean {
    return !this.lanes.length;
  }

  /** Lanes are made anew only when they are others than before. */
  draw(pens: Drawn[], from: number, to: number, zone: string): void {
    this.from = from;
    this.to = to;
    const lanes = new Map<string, Drawn[]>();
    for (const pen of pens) lanes.set(laneOf(pen), [...(lanes.get(laneOf(pen)) ?? []), pen]);
    const theme = document.documentElement.dataset.theme ?? matchMedia("(prefers-color-scheme: dark)").matches;
    const shape = JSON.stringify([zone, theme, innerHeight, ...[...lanes].map(([lane, own]) => [lane, own.map((pen) => [pen.title, pen.number, pen.shifted])])]);
    if (shape !== this.shape) {
      this.clear();
      const style = getComputedStyle(document.body);
      this.colours = Array.from({ length: 10 }, (_, number) => style.getPropertyValue(`--c${number}`).trim());
      this.shape = shape;
      [...lanes].forEach(([lane, own], index) => this.lanes.push(this.lane(own, lane.startsWith("text"), lanes.size, index === lanes.size - 1, zone)));
      return;
    }
    [...lanes.values()].forEach((own, index) => {
      const lane = this.lanes[index];
      if (lane) lane.pens = own;
    });
    this.place();
  }

  clear(): void {
    for (const { plot } of this.lanes) plot.destroy();
    this.lanes = [];
    this.shape = "";
  }

  mark(marks: Record<string, number>): void {
    this.marks = marks;
    for (const { plot } of this.lanes) plot.redraw(false);
  }

  /** Every lane below the other on one canvas, with the pens and the words given printed under it. */
  picture(words: string): HTMLCanvasElement {
    const pens = this.lanes.flatMap((lane) => lane.pens);
    const text = (pen: Drawn): string => `${pen.title}${pen.line.unit ? ` in ${pen.line.unit}` : ""}${pen.shifted ? ", earlier" : ""}`;
    return picture(this.lanes.map(({ plot }) => plot.ctx.canvas), pens.map((pen) => ({ colour: this.colour(pen), text: text(pen) })), words);
  }

  /** Every lane at the window as it is now. */
  private place(): void {
    for (const { plot, pens } of this.lanes) {
      plot.batch(() => {
        plot.setData([[this.from, this.to]], true);
        plot.setScale("y", reach(pens));
      });
    }
  }

  private width(): number {
    return Math.max(280, this.element.clientWidth);
  }

  private colour(pen: Drawn): string {
    return this.colours[pen.colour % this.colours.length] || "#666";
  }

  private lane(pens: Drawn[], text: boolean, lanes: number, last: boolean, zone: string): Lane {
    const style = getComputedStyle(document.body);
    const height = Math.round(Math.min(520, Math.max(lanes > 3 ? 100 : 180, (innerHeight - 430) / lanes)));
    const lane: Lane = { pens, text, plot: undefined as unknown as uPlot };
    lane.plot = new uPlot(
      {
        width: this.width(),
        height: (text ? TEXT_HEIGHT : height) + (last ? CLOCK : 0),
        padding: [8, 12, last ? 0 : 6, 0],
        series: [{}],
        legend: { show: false },
        tzDate: (time) => uPlot.tzDate(new Date(time * 1000), zone === "UTC" ? "Etc/UTC" : zone),
        scales: { x: { time: true, range: () => [this.from, this.to] }, y: { auto: false } },
        axes: axes(style, text, last, pens[0]?.line.unit ?? ""),
        cursor: {
          y: false,
          points: { show: false },
          sync: { key: SYNC, scales: ["x", null] },
          drag: { x: true, y: false, setScale: false },
          bind: {
            mousedown: (_self, _target, select) => (event) => (event.shiftKey ? null : select(event)),
            dblclick: () => () => (this.events.zoom(this.from - (this.to - this.from) / 2, this.to + (this.to - this.from) / 2), null),
          },
        },
        hooks: {
          drawClear: [(own) => paintBelow(this.sheet(own), this.strokes(lane))],
          draw: [(own) => this.paint(own, lane)],
          setSelect: [(own) => this.selected(own)],
          setCursor: [(own) => this.events.cursor((own.cursor.left ?? -1) >= 0 ? own.posToVal(own.cursor.left ?? 0, "x") : null)],
        },
      },
      [[this.from, this.to]],
      this.element,
    );
    lane.plot.setScale("y", reach(pens));
    this.listen(lane);
    return lane;
  }

  private listen(lane: Lane): void {
    const { over, root } = lane.plot;
    let pressed = 0;
    over.addEventListener("pointermove", () => lane.plot.syncRect()); // what stands above may have grown since
    over.addEventListener("mousedown", (event) => (pressed = event.offsetX));
    over.addEventListener("click", (event) => {
      if (!event.shiftKey && Math.abs(event.offsetX - pressed) < PRESS_PIXELS) this.pick(lane, event.offsetX, event.offsetY);
    });
    const moves: Moves = {
      now: () => ({ from: this.from, to: this.to }),
      perPixel: () => (this.to - this.from) / Math.max(1, over.clientWidth),
      follow: (span) => this.follow(span),
      settle: ({ from, to }) => this.events.zoom(from, to),
    };
    movable(over, (event) => event.button === 1 || (event.button === 0 && event.shiftKey), moves);
    const clock = root.querySelector<HTMLElement>(".u-axis");
    if (clock) movable(clock, (event) => event.button < 2, moves);
    wheeled(over, (event) => lane.plot.posToVal(event.offsetX, "x"), moves);
  }

  private follow({ from, to }: Span): void {
    this.events.follow();
    this.from = from;
    this.to = to;
    this.place();
  }

  private selected(plot: uPlot): void {
    if (plot.select.width < PRESS_PIXELS) return;
    const [from, to] = [plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.events.zoom(from, to);
  }

  /** The point nearest to where somebody pressed, over all pens of the lane. */
  private pick(lane: Lane, x: number, y: number): void {
    let best: { pen: Drawn; point: number; far: number } | null = null;
    for (const pen of lane.pens) {
      const point = nearest(pen.line, lane.plot.posToVal(x, "x"));
      const [time, value] = [pen.line.times[point], pen.line.mean[point]];
      if (time === undefined || value === null || value === undefined) continue;
      const far = Math.hypot(lane.plot.valToPos(time, "x") - x, lane.plot.valToPos(value, "y") - y);
      if (!best || far < best.far) best = { pen, point, far };
    }
    if (best) this.events.pick(best.pen, best.point);
  }

  private paint(plot: uPlot, lane: Lane): void {
    const sheet = this.sheet(plot);
    const strokes = this.strokes(lane);
    const style = getComputedStyle(document.body);
    paint(sheet, strokes);
    if (lane.text) for (const stroke of strokes) paintStates(sheet, stroke, this.colours, style.color);
    paintMarks(sheet, this.marks, style.getPropertyValue("--own"));
  }

  private strokes(lane: Lane): { line: Line; step: boolean; shifted: boolean; colour: string }[] {
    return lane.pens.map((pen) => ({ line: pen.line, step: pen.step, shifted: pen.shifted, colour: this.colour(pen) }));
  }

  private sheet({ ctx, bbox, scales }: uPlot): Sheet {
    const { left, top, width, height } = bbox;
    return { ctx, left, top, width, height, x: linear(this.from, this.to, left, left + width), y: linear(scales.y?.min ?? 0, scales.y?.max ?? 1, top + height, top) };
  }
}

function axes(style: CSSStyleDeclaration, text: boolean, last: boolean, unit: string): uPlot.Axis[] {
  const ink = style.getPropertyValue("--soft").trim() || "#667";
  const grid = { stroke: style.getPropertyValue("--grid").trim() || "#ddd", width: 1 };
  const look = { stroke: ink, grid, ticks: { ...grid, size: 4 }, font: FONT };
  return [
    last ? { ...look, values: TIMES, size: CLOCK } : { grid, ticks: { show: false }, size: 0, values: TIMES, stroke: "transparent" },
    text
      ? { scale: "y", size: 70, values: () => [], grid: { show: false }, ticks: { show: false } }
      : { ...look, scale: "y", labelFont: `600 ${FONT}`, size: 52, label: unit.slice(0, 20), labelSize: 18 },
  ];
}

function laneOf(pen: Drawn): string {
  const { line } = pen;
  const words = !line.mean.some((one) => one !== null) && line.texts.length;
  if (words) return `text ${pen.title}`;
  return pen.own ? `own ${pen.title}` : `unit ${line.unit ?? ""}`;
}

function linear(fromLow: number, fromHigh: number, toLow: number, toHigh: number): (one: number) => number {
  const factor = (toHigh - toLow) / (fromHigh - fromLow || 1);
  return (one) => toLow + (one - fromLow) * factor;
}

/** The scale that one of them has been given; else least and greatest of what is drawn, with some air. */
function reach(pens: Drawn[]): { min: number; max: number } {
  const given = pens.find((pen) => pen.scale)?.scale;
  if (given) return { min: given[0], max: given[1] };
  let [low, high] = [Infinity, -Infinity];
  for (const { line } of pens) {
    for (const values of [line.mean, line.min, line.max]) {
      for (const one of values) {
        if (one === null) continue;
        if (one < low) low = one;
        if (one > high) high = one;
      }
    }
  }
  if (low > high) return { min: 0, max: 1 };
  const air = (high - low || Math.abs(high) || 1) * 0.06;
  return { min: low - air, max: high + air };
}

/** 24 hours, and the day where it begins. */
export const TIMES: uPlot.Axis.Values = [
  [86_400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [0.001, "{ss}.{fff}", "\n{HH}:{mm}:{ss}", null, "\n{YYYY}-{MM}-{DD}", null, "\n{HH}:{mm}", null, 1],
];
