// Answers as columns to draw: numbers with gaps, bad stretches, text stretches, and statistics. Pure.

import type { Answer, Row } from "./api";

export interface Stretch {
  from: number;
  to: number;
  text: string;
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
  gaps: [number, number][];
  bad: number[];
  texts: Stretch[];
  unit: string | null;
  points: number;
  readings: number;
  tiers: Record<string, number>;
  took: number;
  warnings: string[];
  statistics: Statistics;
}

export interface Statistics {
  count: number;
  min: number | null;
  max: number | null;
  mean: number | null;
  weighted: number | null;
  deviation: number | null;
  good: number | null;
}

const WINDOW: Record<string, number> = { minute: 60, hour: 3600, day: 86_400 };
const number = (value: unknown): number | null => (typeof value === "number" ? value : null);
const seconds = (text: unknown): number => Date.parse(String(text)) / 1000;

/** `interval` is the sensor's usual one; silence of more than `factor` times that is a gap. */
export function line(answer: Answer, interval: number | null, factor: number, offset = 0): Line {
  const raw = answer.resolution === "raw";
  const window = WINDOW[answer.resolution] ?? 0;
  const rows = answer.rows;
  const at = rows.map((row) => seconds(raw ? row.timestamp : row.window_start) + offset);
  const usual = interval ?? median(at);
  const silence = Math.max(usual * factor, window * 1.5, answer.thinned_by ? 4 * median(at) : 0);
  const made: Line = {
    resolution: answer.resolution,
    thinned: answer.thinned_by !== null,
    times: [],
    mean: [],
    min: [],
    max: [],
    gaps: [],
    bad: [],
    texts: [],
    unit: null,
    points: rows.length,
    readings: raw ? rows.length : sum(rows, "count") + sum(rows, "bad_count") + sum(rows, "text_count") + sum(rows, "null_count"),
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
    if (raw ? !good : Number(row.bad_count) > 0) made.bad.push(time);
    put(made, time, good ? number(raw ? row.value : row.mean) : null, number(row.min), number(row.max), raw);
    const text = raw ? row.text : row.last_text;
    if (typeof text === "string") stretch(made.texts, text, start, start + (window || usual), silence);
    if (typeof row.unit === "string") made.unit = row.unit;
  });
  return made;
}

export function isBad(quality: unknown): boolean {
  return quality === "bad";
}

function put(made: Line, time: number, mean: number | null, min: number | null, max: number | null, raw: boolean): void {
  made.times.push(time);
  made.mean.push(mean);
  if (raw) return;
  made.min.push(min);
  made.max.push(max);
}

function stretch(texts: Stretch[], text: string, from: number, to: number, silence: number): void {
  const last = texts.at(-1);
  const joined = last && from - last.to <= silence;
  if (joined) last.to = from; // a state ends where the next begins
  if (joined && last.text === text) last.to = to;
  else texts.push({ from, to, text });
}

export function median(times: number[]): number {
  const steps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  steps.sort((a, b) => a - b);
  return steps[steps.length >> 1] ?? 0;
}

function sum(rows: Row[], key: string): number {
  return rows.reduce((total, row) => total + Number(row[key] ?? 0), 0);
}

/** Of all readings; where they were thinned only what thinning keeps is told: the extremes. */
function ofReadings(answer: Answer): Statistics {
  const good = answer.rows.filter((row) => typeof row.value === "number" && !isBad(row.quality));
  const values = good.map((row) => Number(row.value));
  const [min, max] = extremes(values);
  if (answer.thinned_by !== null) {
    return { count: 0, min, max, mean: null, weighted: null, deviation: null, good: null };
  }
  const mean = values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
  const square = mean === null ? 0 : values.reduce((total, value) => total + (value - mean) ** 2, 0);
  let area = 0;
  let held = 0;
  for (let index = 1; index < good.length; index += 1) {
    const width = seconds(good[index]?.timestamp) - seconds(good[index - 1]?.timestamp);
    if (width > 3600) continue;
    area += Number(good[index - 1]?.value) * width;
    held += width;
  }
  return {
    count: values.length,
    min,
    max,
    mean,
    weighted: held ? area / held : mean,
    deviation: mean === null ? null : Math.sqrt(square / values.length),
    good: answer.rows.length ? answer.rows.filter((row) => !isBad(row.quality)).length / answer.rows.length : null,
  };
}

function ofWindows(rows: Row[]): Statistics {
  const full = rows.filter((row) => Number(row.count) > 0);
  const count = sum(full, "count");
  const mean = count ? sum(full, "sum") / count : null;
  const carried = rows.filter((row) => typeof row.time_weighted_mean === "number"); // a value holds through bad ones
  const held = carried.reduce((total, row) => total + Number(row.covered_us), 0);
  const area = carried.reduce((total, row) => total + Number(row.time_weighted_mean ?? 0) * Number(row.covered_us), 0);
  const spread = full.reduce(
    (total, row) => total + Number(row.count) * (Number(row.stddev) ** 2 + (Number(row.mean) - (mean ?? 0)) ** 2),
    0,
  );
  const all = rows.map((row) => Number(row.count) + Number(row.bad_count) + Number(row.null_count) + Number(row.text_count));
  const weight = all.reduce((a, b) => a + b, 0);
  const good = rows.reduce((total, row, index) => total + Number(row.good_ratio ?? 0) * (all[index] ?? 0), 0);
  return {
    count,
    min: extremes(full.map((row) => Number(row.min)))[0],
    max: extremes(full.map((row) => Number(row.max)))[1],
    mean,
    weighted: held ? area / held : null,
    deviation: count ? Math.sqrt(spread / count) : null,
    good: weight ? good / weight : null,
  };
}

function extremes(values: number[]): [number | null, number | null] {
  let low: number | null = null;
  let high: number | null = null;
  for (const value of values) {
    if (low === null || value < low) low = value;
    if (high === null || value > high) high = value;
  }
  return [low, high];
}

/** The value at a time: of the last point not after it, null within a gap. */
export function valueAt(line: Line, time: number): number | null {
  return line.mean[place(line, time)] ?? null;
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
