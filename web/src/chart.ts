// Lanes of pens over one time axis: band from least to greatest, line of the mean, and what is silent, bad or text.

import uPlot from "uplot";
import { h } from "./dom";
import type { Line } from "./series";

export interface Drawn {
  title: string;
  line: Line;
  step: boolean;
  colour: string;
  /** Of an earlier time, laid over. */
  shifted: boolean;
}

export interface Events {
  zoom(from: number, to: number, settle: boolean): void;
  cursor(time: number | null): void;
}

export const COLOURS = ["#0b6e99", "#c4500a", "#2c8a3d", "#9a3fb5", "#b08900", "#c22f56", "#008a8a", "#6a5acd", "#7a5230", "#5a7a00"];
const SYNC = "explorer";
const LANE_HEIGHT = 240;

export class Chart {
  readonly element = h("div", { class: "chart", role: "img", "aria-label": "Chart of the chosen pens; the table below has its numbers" });
  private plots: { plot: uPlot; pens: Drawn[] }[] = [];
  private marks: Record<string, number> = {};
  private wheel = 0;

  constructor(private readonly events: Events) {
    new ResizeObserver(() => {
      for (const { plot } of this.plots) plot.setSize({ width: this.width(), height: plot.height });
    }).observe(this.element);
    // What is drawn, for tests and for whoever looks with the browser's tools.
    Object.assign(this.element, { drawn: () => this.plots.map(({ plot, pens }) => ({ data: plot.data, pens })) });
  }

  width(): number {
    return Math.max(280, this.element.clientWidth);
  }

  get laneCount(): number {
    return this.plots.length;
  }

  draw(pens: Drawn[], from: number, to: number, zone: string): void {
    const lanes = new Map<string, Drawn[]>();
    for (const pen of pens) {
      const key = pen.line.mean.some((one) => one !== null) || !pen.line.texts.length ? `unit ${pen.line.unit ?? ""}` : `text ${pen.title}`;
      lanes.set(key, [...(lanes.get(key) ?? []), pen]);
    }
    this.clear();
    for (const [key, own] of lanes) {
      const plot = this.lane(own, key.startsWith("text"), from, to, zone);
      this.plots.push({ plot, pens: own });
    }
  }

  clear(): void {
    for (const { plot } of this.plots) plot.destroy();
    this.plots = [];
  }

  mark(marks: Record<string, number>): void {
    this.marks = marks;
    for (const { plot } of this.plots) plot.redraw(false);
  }

  /** Every lane below the other on one canvas, with the words given printed under it. */
  picture(words: string): HTMLCanvasElement {
    const sheet = document.createElement("canvas");
    const parts = this.plots.map(({ plot }) => plot.ctx.canvas);
    sheet.width = Math.max(...parts.map((part) => part.width));
    sheet.height = parts.reduce((total, part) => total + part.height, 0) + 40 * devicePixelRatio;
    const pen = sheet.getContext("2d");
    if (!pen) return sheet;
    pen.fillStyle = getComputedStyle(document.body).backgroundColor;
    pen.fillRect(0, 0, sheet.width, sheet.height);
    let top = 0;
    for (const part of parts) {
      pen.drawImage(part, 0, top);
      top += part.height;
    }
    pen.fillStyle = getComputedStyle(document.body).color;
    pen.font = `${13 * devicePixelRatio}px sans-serif`;
    pen.fillText(words, 10, top + 24 * devicePixelRatio);
    return sheet;
  }

  private lane(pens: Drawn[], text: boolean, from: number, to: number, zone: string): uPlot {
    const series: uPlot.Series[] = [{}];
    const bands: uPlot.Band[] = [];
    const tables: uPlot.AlignedData[] = [];
    for (const pen of pens) {
      const banded = pen.line.max.length > 0;
      const columns: (number | null)[][] = banded ? [pen.line.max, pen.line.min, pen.line.mean] : [pen.line.mean];
      tables.push([pen.line.times, ...columns] as uPlot.AlignedData);
      if (banded) {
        bands.push({ series: [series.length, series.length + 1], fill: `${pen.colour}33` });
        series.push(edge(pen), edge(pen));
      }
      series.push({
        label: pen.title,
        stroke: pen.colour,
        width: 1.5,
        dash: pen.shifted ? [4, 4] : [],
        points: { show: false },
        ...(pen.step ? { paths: uPlot.paths.stepped?.({ align: 1 }) } : {}),
      } as uPlot.Series);
    }
    const style = getComputedStyle(document.body);
    const ink = style.getPropertyValue("--soft").trim() || "#667";
    const grid = { stroke: style.getPropertyValue("--line").trim() || "#ddd", width: 1 };
    const unit = pens[0]?.line.unit ?? "";
    const plot = new uPlot(
      {
        width: this.width(),
        height: text ? 96 : LANE_HEIGHT,
        series,
        bands,
        legend: { show: false },
        tzDate: (time) => uPlot.tzDate(new Date(time * 1000), zone === "UTC" ? "Etc/UTC" : zone),
        scales: { x: { time: true, min: from, max: to, auto: false, range: () => [from, to] } },
        axes: [
          { stroke: ink, grid, ticks: grid, values: TIMES },
          text ? { show: true, size: 64, values: () => [], grid: { show: false }, ticks: { show: false } } : { stroke: ink, grid, ticks: grid, size: 64, label: unit.slice(0, 20), labelSize: 18 },
        ],
        cursor: {
          sync: { key: SYNC },
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => (this.events.zoom(from - (to - from) / 2, to + (to - from) / 2, true), null) },
        },
        hooks: {
          drawClear: [(own) => shade(own, pens)],
          draw: [(own) => this.ornaments(own, pens)],
          setSelect: [
            (own) => {
              if (own.select.width < 4) return;
              this.events.zoom(own.posToVal(own.select.left, "x"), own.posToVal(own.select.left + own.select.width, "x"), true);
            },
          ],
          setCursor: [(own) => this.events.cursor((own.cursor.left ?? -1) >= 0 ? own.posToVal(own.cursor.left ?? 0, "x") : null)],
        },
      },
      join(tables),
      this.element,
    );
    plot.over.addEventListener("wheel", (event) => {
      event.preventDefault();
      const at = plot.posToVal(event.offsetX, "x");
      const factor = event.deltaY > 0 ? 1.3 : 1 / 1.3;
      clearTimeout(this.wheel);
      this.wheel = window.setTimeout(() => this.events.zoom(at - (at - from) * factor, at + (to - at) * factor, true), 60);
    }, { passive: false });
    return plot;
  }

  private ornaments(plot: uPlot, pens: Drawn[]): void {
    const { ctx, bbox } = plot;
    const x = (time: number): number => plot.valToPos(time, "x", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const pen of pens) {
      lonely(plot, pen);
      ctx.fillStyle = "#d21f3c";
      for (const time of pen.line.bad) ctx.fillRect(x(time) - 1, bbox.top + bbox.height - 8, 2, 8);
      states(plot, pen);
    }
    ctx.font = `bold ${12 * devicePixelRatio}px sans-serif`;
    for (const [label, time] of Object.entries(this.marks)) {
      ctx.fillStyle = "#d21f3c";
      ctx.fillRect(x(time), bbox.top, 1, bbox.height);
      ctx.fillText(label, x(time) + 3, bbox.top + 14 * devicePixelRatio);
    }
    ctx.restore();
  }
}

function edge(pen: Drawn): uPlot.Series {
  return { stroke: `${pen.colour}55`, width: 0.5, points: { show: false } };
}

function join(tables: uPlot.AlignedData[]): uPlot.AlignedData {
  const first = tables[0];
  if (!first) return [[]];
  return tables.length === 1 ? first : uPlot.join(tables);
}

/** Silence of the first pen, shaded: blank, and plainly not a line. */
function shade(plot: uPlot, pens: Drawn[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = "#88888822";
  for (const [from, to] of pens[0]?.line.gaps ?? []) {
    const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

/** Points between two gaps, which no line would show. */
function lonely(plot: uPlot, pen: Drawn): void {
  const { mean, times } = pen.line;
  plot.ctx.fillStyle = pen.colour;
  mean.forEach((one, index) => {
    if (one === null || (mean[index - 1] ?? null) !== null || (mean[index + 1] ?? null) !== null) return;
    plot.ctx.beginPath();
    plot.ctx.arc(plot.valToPos(times[index] ?? 0, "x", true), plot.valToPos(one, "y", true), 3 * devicePixelRatio, 0, 7);
    plot.ctx.fill();
  });
}

function states(plot: uPlot, pen: Drawn): void {
  const { ctx, bbox } = plot;
  const height = 18 * devicePixelRatio;
  ctx.font = `${11 * devicePixelRatio}px sans-serif`;
  const known = new Map<string, string>();
  for (const one of pen.line.texts) {
    const colour = known.get(one.text) ?? COLOURS[known.size % COLOURS.length] ?? "#666";
    known.set(one.text, colour);
    const left = Math.max(bbox.left, plot.valToPos(one.from, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(one.to, "x", true));
    if (right <= left) continue;
    ctx.fillStyle = `${colour}66`;
    ctx.fillRect(left, bbox.top + 4, right - left, height);
    if (right - left < 24) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, height + 8);
    ctx.clip();
    ctx.fillStyle = getComputedStyle(document.body).color;
    ctx.fillText(one.text.slice(0, 60), left + 4, bbox.top + 4 + 13 * devicePixelRatio);
    ctx.restore();
  }
}

/** 24 hours, and the day where it begins. */
const TIMES: uPlot.Axis.Values = [
  [86_400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  [0.001, "{ss}.{fff}", "\n{HH}:{mm}:{ss}", null, "\n{YYYY}-{MM}-{DD}", null, "\n{HH}:{mm}", null, 1],
];
