// What a row of an answer says. Pure.

import type { Row } from "./api";

export const number = (value: unknown): number | null => (typeof value === "number" ? value : null);
export const seconds = (text: unknown): number => Date.parse(String(text)) / 1000;
export const isBad = (quality: unknown): boolean => quality === "bad";

export function sum(rows: Row[], key: string): number {
  return rows.reduce((total, row) => total + Number(row[key] ?? 0), 0);
}

export function median(times: number[]): number {
  const steps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  steps.sort((a, b) => a - b);
  return steps[steps.length >> 1] ?? 0;
}
