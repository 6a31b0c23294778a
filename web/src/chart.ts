// Lanes of pens over one time axis: band from least to greatest, line of the mean, and what is silent, bad or text.
// uPlot gives axes, cursor and selection; the pens are drawn here, each with its own times.

import uPlot from "uplot";
import { h } from "./dom";
import { nearest, type Line } from "./series";

export interface Drawn {
  title: string;
  line: Line;
  step: boolean;
  own: boolean;
  /** Its colour's number. */
  number: number;
  /** Of an earlier time, laid over. */
  shifted: boolean;
}

export interface Events {
  zoom(from: number, to: number): void;
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

export class Chart {
  readonly element = h("div", { class: "chart", role: "img", "aria-label": "Chart of the chosen pens; the table below has its numbers" });
  private lanes: Lane[] = [];
  private shape = "";
  private from = 0;
  private to = 1;
  private colours: string[] = [];
  private marks: Record<string, number> = {};
  private wheel = 0;

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
      if (!lane) return;
      lane.pens = own;
      lane.plot.batch(() => {
        lane.plot.setData([[from, to]], true);
        lane.plot.setScale("y", reach(own));
      });
    });
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
    const sheet = document.createElement("canvas");
    const ratio = devicePixelRatio;
    const parts = this.lanes.map(({ plot }) => plot.ctx.canvas);
    const pens = this.lanes.flatMap((lane) => lane.pens);
    sheet.width = Math.max(...parts.map((part) => part.width));
    sheet.height = parts.reduce((total, part) => total + part.height, 0) + (40 + 20 * pens.length) * ratio;
    const ink = sheet.getContext("2d");
    if (!ink) return sheet;
    const style = getComputedStyle(document.body);
    ink.fillStyle = style.backgroundColor;
    ink.fillRect(0, 0, sheet.width, sheet.height);
    let top = 0;
    for (const part of parts) {
      ink.drawImage(part, 0, top);
      top += part.height;
    }
    ink.font = `${13 * ratio}px system-ui, sans-serif`;
    for (const pen of pens) {
      top += 20 * ratio;
      ink.fillStyle = this.colour(pen);
      ink.fillRect(12 * ratio, top - 9 * ratio, 10 * ratio, 10 * ratio);
      ink.fillStyle = style.color;
      ink.fillText(`${pen.title}${pen.line.unit ? ` in ${pen.line.unit}` : ""}${pen.shifted ? ", earlier" : ""}`.slice(0, 160), 30 * ratio, top);
    }
    ink.fillStyle = style.color;
    ink.fillText(words, 12 * ratio, top + 26 * ratio);
    return sheet;
  }

  private width(): number {
    return Math.max(280, this.element.clientWidth);
  }

  private colour(pen: Drawn): string {
    return this.colours[pen.number % this.colours.length] || "#666";
  }

  private lane(pens: Drawn[], text: boolean, lanes: number, last: boolean, zone: string): Lane {
    const style = getComputedStyle(document.body);
    const ink = style.getPropertyValue("--soft").trim() || "#667";
    const grid = { stroke: style.getPropertyValue("--grid").trim() || "#ddd", width: 1 };
    const font = "12px system-ui, sans-serif";
    const unit = pens[0]?.line.unit ?? "";
    const height = Math.round(Math.min(520, Math.max(lanes > 3 ? 130 : 190, (innerHeight - 420) / lanes)));
    const clock = last ? CLOCK : 0;
    const lane: Lane = { pens, text, plot: undefined as unknown as uPlot };
    const plot: uPlot = new uPlot(
      {
        width: this.width(),
        height: (text ? TEXT_HEIGHT : height) + clock,
        padding: [8, 12, last ? 0 : 6, 0],
        series: [{}],
        legend: { show: false },
        tzDate: (time) => uPlot.tzDate(new Date(time * 1000), zone === "UTC" ? "Etc/UTC" : zone),
        scales: { x: { time: true, range: () => [this.from, this.to] }, y: { auto: false } },
        axes: [
          last ? { stroke: ink, grid, ticks: { ...grid, size: 4 }, font, values: TIMES, size: CLOCK } : { grid, ticks: { show: false }, size: 0, values: TIMES, stroke: "transparent" },
          text
            ? { scale: "y", size: 70, values: () => [], grid: { show: false }, ticks: { show: false } }
            : { scale: "y", stroke: ink, grid, ticks: { ...grid, size: 4 }, font, labelFont: `600 ${font}`, size: 52, label: unit.slice(0, 20), labelSize: 18 },
        ],
        cursor: {
          y: false,
          points: { show: false },
          sync: { key: SYNC, scales: ["x", null] },
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => (this.events.zoom(this.from - (this.to - this.from) / 2, this.to + (this.to - this.from) / 2), null) },
        },
        hooks: {
          drawClear: [(own) => shade(own, lane.pens)],
          draw: [(own) => this.paint(own, lane)],
          setSelect: [
            (own) => {
              if (own.select.width < 4) return;
              const [from, to] = [own.posToVal(own.select.left, "x"), own.posToVal(own.select.left + own.select.width, "x")];
              own.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              this.events.zoom(from, to);
            },
          ],
          setCursor: [(own) => this.events.cursor((own.cursor.left ?? -1) >= 0 ? own.posToVal(own.cursor.left ?? 0, "x") : null)],
        },
      },
      [[this.from, this.to]],
      this.element,
    );
    lane.plot = plot;
    plot.setScale("y", reach(pens));
    let pressed = 0;
    plot.over.addEventListener("mousedown", (event) => (pressed = event.offsetX));
    plot.over.addEventListener("click", (event) => {
      if (Math.abs(event.offsetX - pressed) < 4) this.pick(lane, event.offsetX, event.offsetY);
    });
    plot.over.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const at = plot.posToVal(event.offsetX, "x");
        const factor = event.deltaY > 0 ? 1.3 : 1 / 1.3;
        clearTimeout(this.wheel);
        this.wheel = window.setTimeout(() => this.events.zoom(at - (at - this.from) * factor, at + (this.to - at) * factor), 60);
      },
      { passive: false },
    );
    return lane;
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
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    const x = linear(this.from, this.to, bbox.left, bbox.left + bbox.width);
    const [low, high] = [plot.scales.y?.min ?? 0, plot.scales.y?.max ?? 1];
    const y = linear(low, high, bbox.top + bbox.height, bbox.top);
    for (const pen of lane.pens) {
      ctx.strokeStyle = ctx.fillStyle = this.colour(pen);
      band(ctx, pen, x, y);
      trace(ctx, pen, x, y);
      ctx.fillStyle = "#d21f3c";
      for (const time of pen.line.bad) ctx.fillRect(x(time) - devicePixelRatio, bbox.top + bbox.height - 9 * devicePixelRatio, 2 * devicePixelRatio, 9 * devicePixelRatio);
      if (lane.text) this.states(plot, pen, x);
    }
    const style = getComputedStyle(document.body);
    ctx.font = `bold ${12 * devicePixelRatio}px system-ui, sans-serif`;
    for (const [label, time] of Object.entries(this.marks)) {
      ctx.fillStyle = style.getPropertyValue("--own");
      ctx.fillRect(x(time) - devicePixelRatio / 2, bbox.top, devicePixelRatio, bbox.height);
      ctx.fillText(label, x(time) + 4 * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
    }
    ctx.restore();
  }

  private states(plot: uPlot, pen: Drawn, x: (time: number) => number): void {
    const { ctx, bbox } = plot;
    const height = 26 * devicePixelRatio;
    const top = bbox.top + (pen.shifted ? height + 4 * devicePixelRatio : 4 * devicePixelRatio);
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    const known = new Map<string, string>();
    for (const one of pen.line.texts) {
      const colour = known.get(one.text) ?? this.colours[known.size % this.colours.length] ?? "#666";
      known.set(one.text, colour);
      const left = Math.max(bbox.left, x(one.from));
      const right = Math.min(bbox.left + bbox.width, x(one.to));
      if (right <= left) continue;
      ctx.fillStyle = `${colour}59`;
      ctx.fillRect(left, top, right - left, height);
      if (right - left < 24) continue;
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, top, right - left, height);
      ctx.clip();
      ctx.fillStyle = getComputedStyle(document.body).color;
      ctx.fillText(one.text.slice(0, 60), left + 6 * devicePixelRatio, top + 17 * devicePixelRatio);
      ctx.restore();
    }
  }
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

/** Least and greatest of what is drawn, with some air. */
function reach(pens: Drawn[]): { min: number; max: number } {
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

function band(ctx: CanvasRenderingContext2D, pen: Drawn, x: (time: number) => number, y: (value: number) => number): void {
  const { times, min, max } = pen.line;
  if (!max.length) return;
  ctx.globalAlpha = pen.shifted ? 0.1 : 0.22;
  ctx.beginPath();
  let start = -1;
  for (let index = 0; index <= times.length; index += 1) {
    const open = index < times.length && max[index] !== null && min[index] !== null;
    if (open && start < 0) start = index;
    if (open || start < 0) continue;
    ctx.moveTo(x(times[start] ?? 0), y(max[start] ?? 0));
    for (let one = start; one < index; one += 1) ctx.lineTo(x(times[one] ?? 0), y(max[one] ?? 0));
    for (let one = index - 1; one >= start; one -= 1) ctx.lineTo(x(times[one] ?? 0), y(min[one] ?? 0));
    if (index - start === 1) ctx.rect(x(times[start] ?? 0) - 1, y(max[start] ?? 0), 2, y(min[start] ?? 0) - y(max[start] ?? 0));
    start = -1;
  }
  ctx.fill();
  ctx.globalAlpha = 1;
}

/** The line; between two gaps a point alone is a dot, which no line would show. */
function trace(ctx: CanvasRenderingContext2D, pen: Drawn, x: (time: number) => number, y: (value: number) => number): void {
  const { times, mean } = pen.line;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.lineJoin = times.length > 500 ? "bevel" : "round"; // round joins of a dense line are not seen, and cost much
  ctx.globalAlpha = pen.shifted ? 0.65 : 1;
  ctx.setLineDash(pen.shifted ? [5 * devicePixelRatio, 4 * devicePixelRatio] : []);
  ctx.beginPath();
  let before: number | null = null;
  const alone: [number, number][] = [];
  for (let index = 0; index < times.length; index += 1) {
    const value = mean[index] ?? null;
    if (value === null) {
      before = null;
      continue;
    }
    const [left, top] = [x(times[index] ?? 0), y(value)];
    if (before === null) {
      if ((mean[index + 1] ?? null) === null) alone.push([left, top]);
      ctx.moveTo(left, top);
    } else {
      if (pen.step) ctx.lineTo(left, y(before));
      ctx.lineTo(left, top);
    }
    before = value;
  }
  ctx.stroke();
  ctx.setLineDash([]);
  for (const [left, top] of alone) {
    ctx.beginPath();
    ctx.arc(left, top, 3 * devicePixelRatio, 0, 7);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

/** Silence of the first pen, hatched: blank, and plainly not a line. */
function shade(plot: uPlot, pens: Drawn[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = "#8888884d";
  ctx.lineWidth = devicePixelRatio;
  for (const [from, to] of pens[0]?.line.gaps ?? []) {
    const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
    if (right <= left) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.fillStyle = "#8888881a";
    ctx.fill();
    ctx.beginPath();
    for (let at = left - bbox.height; at < right; at += 9 * devicePixelRatio) {
      ctx.moveTo(at, bbox.top + bbox.height);
      ctx.lineTo(at + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
  ctx.restore();
}

/** 24 hours, and the day where it begins. */
export const TIMES: uPlot.Axis.Values = [
  [86_400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [0.001, "{ss}.{fff}", "\n{HH}:{mm}:{ss}", null, "\n{YYYY}-{MM}-{DD}", null, "\n{HH}:{mm}", null, 1],
];
