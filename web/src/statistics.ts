// Statistics of the visible range, from readings or from windows. Pure.

import type { Answer, Row } from "./api";
import { isBad, seconds, sum } from "./rows";

export interface Statistics {
  count: number;
  min: number | null;
  max: number | null;
  mean: number | null;
  weighted: number | null;
  deviation: number | null;
  good: number | null;
}

/** Of all readings; where they were thinned only what thinning keeps is told: the extremes. */
export function ofReadings(answer: Answer): Statistics {
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

export function ofWindows(rows: Row[]): Statistics {
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
