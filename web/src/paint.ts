// What stands on a lane's canvas: band from least to greatest, line of the mean, and what is silent, bad, null or text.

import { common, type Line, type Stretch } from "./series";

/** A lane's canvas with its scales; lengths in device pixels. */
export interface Sheet {
  ctx: CanvasRenderingContext2D;
  left: number;
  top: number;
  width: number;
  height: number;
  x(time: number): number;
  y(value: number): number;
}

export interface Stroke {
  line: Line;
  step: boolean;
  colour: string;
  /** Of an earlier time, laid over. */
  shifted: boolean;
}

const BAD = "#d21f3c";
const NULL = "#8a6d1f";
const STRIP = 5;
const STATE_HEIGHT = 26;

export function paint(sheet: Sheet, strokes: Stroke[]): void {
  const { ctx } = sheet;
  inside(sheet, () => {
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    for (const stroke of strokes) {
      ctx.strokeStyle = ctx.fillStyle = stroke.colour;
      band(sheet, stroke);
      trace(sheet, stroke);
      strip(sheet, stroke.line.bad, BAD);
      strip(sheet, stroke.line.nulls, NULL);
    }
  });
}

/** Below the lines: silence hatched, blank and plainly not a line; bad and null as a veil. */
export function paintBelow(sheet: Sheet, strokes: Stroke[]): void {
  const now = strokes.filter((one) => !one.shifted).map((one) => one.line);
  inside(sheet, () => {
    for (const { bad, nulls } of now) {
      veil(sheet, bad, `${BAD}1f`);
      veil(sheet, nulls, `${NULL}1f`);
    }
    for (const [from, to] of common(now.map((one) => one.gaps))) hatch(sheet, from, to);
  });
}

export function paintMarks(sheet: Sheet, marks: Record<string, number>, colour: string): void {
  const { ctx } = sheet;
  const ratio = devicePixelRatio;
  inside(sheet, () => {
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.font = `bold ${12 * ratio}px system-ui, sans-serif`;
    ctx.fillStyle = colour;
    for (const [label, time] of Object.entries(marks)) {
      ctx.fillRect(sheet.x(time) - ratio / 2, sheet.top, ratio, sheet.height);
      ctx.fillText(label, sheet.x(time) + 4 * ratio, sheet.top + 14 * ratio);
    }
  });
}

/** Texts as bands, each with its words; one colour a word. */
export function paintStates(sheet: Sheet, { line, shifted }: Stroke, colours: string[], ink: string): void {
  const { ctx } = sheet;
  const ratio = devicePixelRatio;
  const height = STATE_HEIGHT * ratio;
  const top = sheet.top + (shifted ? height + 4 * ratio : 4 * ratio);
  const known = new Map<string, string>();
  inside(sheet, () => {
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    for (const { from, to, text } of line.texts) {
      const colour = known.get(text) ?? colours[known.size % colours.length] ?? "#666";
      known.set(text, colour);
      const [left, right] = [Math.max(sheet.left, sheet.x(from)), Math.min(sheet.left + sheet.width, sheet.x(to))];
      if (right <= left) continue;
      ctx.fillStyle = `${colour}66`;
      ctx.fillRect(left, top, right - left, height);
      if (right - left < 24 * ratio) continue;
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, top, right - left, height);
      ctx.clip();
      ctx.fillStyle = ink;
      ctx.fillText(text.slice(0, 60), left + 6 * ratio, top + 17 * ratio);
      ctx.restore();
    }
  });
}

function inside({ ctx, left, top, width, height }: Sheet, draw: () => void): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  draw();
  ctx.restore();
}

function band({ ctx, x, y }: Sheet, { line: { times, min, max }, shifted }: Stroke): void {
  if (!max.length) return;
  ctx.globalAlpha = shifted ? 0.1 : 0.22;
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
function trace({ ctx, x, y }: Sheet, { line: { times, mean }, step, shifted }: Stroke): void {
  const ratio = devicePixelRatio;
  ctx.lineWidth = 1.5 * ratio;
  ctx.lineJoin = times.length > 500 ? "bevel" : "round"; // round joins of a dense line are not seen, and cost much
  ctx.globalAlpha = shifted ? 0.65 : 1;
  ctx.setLineDash(shifted ? [5 * ratio, 4 * ratio] : []);
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
      if (step) ctx.lineTo(left, y(before));
      ctx.lineTo(left, top);
    }
    before = value;
  }
  ctx.stroke();
  ctx.setLineDash([]);
  for (const [left, top] of alone) {
    ctx.beginPath();
    ctx.arc(left, top, 3 * ratio, 0, 7);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

/** At the lane's foot, wide enough to be seen however short the stretch is. */
function strip(sheet: Sheet, stretches: Stretch[], colour: string): void {
  const { ctx, x, top, height } = sheet;
  const ratio = devicePixelRatio;
  ctx.fillStyle = colour;
  for (const { from, to } of stretches) ctx.fillRect(x(from) - ratio, top + height - STRIP * ratio, x(to) - x(from) + 2 * ratio, STRIP * ratio);
}

function veil({ ctx, x, top, height }: Sheet, stretches: Stretch[], colour: string): void {
  ctx.fillStyle = colour;
  for (const { from, to } of stretches) ctx.fillRect(x(from) - devicePixelRatio, top, x(to) - x(from) + 2 * devicePixelRatio, height);
}

function hatch(sheet: Sheet, from: number, to: number): void {
  const { ctx, top, height } = sheet;
  const left = Math.max(sheet.left, sheet.x(from));
  const right = Math.min(sheet.left + sheet.width, sheet.x(to));
  if (right <= left) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, right - left, height);
  ctx.clip();
  ctx.fillStyle = "#8888881a";
  ctx.fill();
  ctx.strokeStyle = "#8888884d";
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  for (let at = left - height; at < right; at += 9 * devicePixelRatio) {
    ctx.moveTo(at, top + height);
    ctx.lineTo(at + height, top);
  }
  ctx.stroke();
  ctx.restore();
}
