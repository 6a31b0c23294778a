// Answers as columns to draw: numbers with gaps, and stretches that are silent, bad, null or text. Pure.

import type { Answer, Row } from "./api";
import { isBad, median, number, seconds, sum } from "./rows";
import { ofReadings, ofWindows, type Statistics } from "./statistics";

export interface Stretch {
  from: number;
  to: number;
  text: string;
}

export interface Last {
  time: number;
  value: number | null;
  text: string | null;
}

export interface Line {
  resolution: Answer["resolution"];
  thinned: boolean;
  /** Times in seconds; at a gap stands a time with nulls. */
  times: number[];
  mean: (number | null)[];
  /** Empty for raw readings. */
  min: (number | null)[];
  max: (number | null)[];
  /** Silence, at the edges of the window too. */
  gaps: [number, number][];
  bad: Stretch[];
  nulls: Stretch[];
  texts: Stretch[];
  unit: string | null;
  points: number;
  readings: number;
  /** The newest reading of the window. */
  last: Last | null;
  tiers: Record<string, number>;
  took: number;
  warnings: string[];
  statistics: Statistics;
}

/** What is asked for: `to` is not after now. */
export interface Asked {
  from: number;
  to: number;
}

const WINDOW: Record<string, number> = { minute: 60, hour: 3600, day: 86_400 };
const EDGE_SECONDS = 10; // what is under way is no silence yet
const HELD_SECONDS = 3600; // a state whose usual interval is unknown

/** `interval` is the sensor's usual one; silence of more than `factor` times that is a gap. */
export function line(answer: Answer, interval: number | null, factor: number, offset = 0, asked: Asked | null = null): Line {
  const raw = answer.resolution === "raw";
  const window = WINDOW[answer.resolution] ?? 0;
  const rows = answer.rows;
  const at = rows.map((row) => seconds(raw ? row.timestamp : row.window_start) + offset);
  const usual = interval ?? median(at);
  const thinned = answer.thinned_by !== null;
  const silence = Math.max(usual * factor, window * 1.5, thinned ? 4 * median(at) : 0);
  const made: Line = {
    resolution: answer.resolution,
    thinned,
    times: [],
    mean: [],
    min: [],
    max: [],
    gaps: [],
    bad: [],
    nulls: [],
    texts: [],
    unit: null,
    points: rows.length,
    readings: raw ? rows.length : ["count", "bad_count", "text_count", "null_count"].reduce((total, key) => total + sum(rows, key), 0),
    last: lastOf(rows.at(-1), raw, offset),
    tiers: answer.tiers ?? {},
    took: answer.took_ms ?? 0,
    warnings: answer.warnings,
    statistics: raw ? ofReadings(answer) : ofWindows(rows),
  };
  rows.forEach((row, index) => {
    const start = at[index] ?? 0;
    const time = start + window / 2;
    const before = made.times.at(-1);
    if (before !== undefined && time - before > silence) {
      made.gaps.push([before + window / 2, time - window / 2]);
      put(made, (before + time) / 2, null, null, null, raw);
    }
    const good = raw ? !isBad(row.quality) : true;
    put(made, time, good ? number(raw ? row.value : row.mean) : null, number(row.min), number(row.max), raw);
    const next = at[index + 1];
    const held = window || (next !== undefined && !thinned && next - start <= silence ? next - start : usual);
    if (raw ? !good : Number(row.bad_count) > 0) flag(made.bad, start, start + held);
    if (raw ? row.value === null && typeof row.text !== "string" : Number(row.null_count) > 0) flag(made.nulls, start, start + held);
    const text = raw ? row.text : row.last_text;
    if (typeof text === "string") stretch(made.texts, text, start, start + (window || usual), silence);
    if (typeof row.unit === "string") made.unit = row.unit;
  });
  const state = made.texts.at(-1);
  if (asked && state) state.to = Math.max(state.to, Math.min(asked.to, state.to + (usual > 0 ? silence : HELD_SECONDS)));
  if (asked && usual > 0) edges(made, asked, at[0], (at.at(-1) ?? 0) + window, Math.max(silence, EDGE_SECONDS));
  return made;
}

/** Silence before the first and behind the last point. */
function edges(made: Line, { from, to }: Asked, first: number | undefined, last: number, silence: number): void {
  if (first === undefined) made.gaps.push([from, to]);
  else {
    if (first - from > silence) made.gaps.unshift([from, first]);
    if (to - last > silence) made.gaps.push([last, to]);
  }
}

/** Where all of them are silent. */
export function common(all: [number, number][][]): [number, number][] {
  const [first = [], ...others] = all;
  return others.reduce(
    (some, more) => some.flatMap(([from, to]) => more.map(([start, end]): [number, number] => [Math.max(from, start), Math.min(to, end)]).filter(([start, end]) => start < end)),
    first,
  );
}

function lastOf(row: Row | undefined, raw: boolean, offset: number): Last | null {
  if (!row) return null;
  const text = raw ? row.text : row.last_text;
  const time = seconds(raw ? row.timestamp : (row.last_timestamp ?? row.window_start)) + offset;
  return { time, value: number(raw ? row.value : row.last), text: typeof text === "string" ? text : null };
}

function put(made: Line, time: number, mean: number | null, min: number | null, max: number | null, raw: boolean): void {
  made.times.push(time);
  made.mean.push(mean);
  if (raw) return;
  made.min.push(min);
  made.max.push(max);
}

function flag(stretches: Stretch[], from: number, to: number): void {
  const last = stretches.at(-1);
  if (last && last.to >= from - 1e-3) last.to = to;
  else stretches.push({ from, to, text: "" });
}

function stretch(texts: Stretch[], text: string, from: number, to: number, silence: number): void {
  const last = texts.at(-1);
  const joined = last && from - last.to <= silence;
  if (joined) last.to = from; // a state ends where the next begins
  if (joined && last.text === text) last.to = to;
  else texts.push({ from, to, text });
}

/** The value at a time: of the last point not after it, null within a gap. */
export function valueAt(line: Line, time: number): number | null {
  return line.mean[place(line, time)] ?? null;
}

/** The words at a time; null where there are none. */
export function textAt(line: Line, time: number): string | null {
  return line.texts.find(({ from, to }) => from <= time && time < to)?.text ?? null;
}

/** The point nearest to a time that has a value; -1 without one. */
export function nearest(line: Line, time: number): number {
  const at = place(line, time);
  let best = -1;
  for (const index of [at - 1, at, at + 1, at + 2]) {
    if ((line.mean[index] ?? null) === null) continue;
    if (best < 0 || Math.abs((line.times[index] ?? 0) - time) < Math.abs((line.times[best] ?? 0) - time)) best = index;
  }
  return best;
}

/** The last point not after a time. */
function place(line: Line, time: number): number {
  let low = 0;
  let high = line.times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((line.times[middle] ?? 0) <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
