// What is amiss with a sensor, by its newest reading: silent, bad, or an alarm. Pure.

import type { Latest } from "./api";
import { isBad, median } from "./rows";

export type Amiss = "" | "alarm" | "bad" | "silent";

export const SIGNS: Record<Amiss, string> = { "": "", alarm: "● alarm", bad: "▾ bad", silent: "⚠ silent" };

const USUAL_INTERVALS = 5;
const LEAST_SECONDS = 10;
const UNKNOWN_SECONDS = 300;
const FEWEST = 5;
const ALARMS = /alarm|fault|error|trip/i;
const CALM = /^(ok|good|normal|none|no|off|false|clear(ed)?|inactive|healthy|0)?$/i;

/** `course` are its newest numbers, by which its usual interval is known. */
export function amiss(one: Latest, course: [number, number][] = one.recent ?? []): Amiss {
  if (isBad(one.quality)) return "bad";
  if (isSilent(one, course)) return "silent";
  return isAlarm(one) ? "alarm" : "";
}

/** For five times its usual interval, and ten seconds at least; where that is not known for five minutes. */
function isSilent(one: Latest, course: [number, number][]): boolean {
  const limit = course.length >= FEWEST ? Math.max(LEAST_SECONDS, USUAL_INTERVALS * median(course.map(([time]) => time))) : UNKNOWN_SECONDS;
  return one.age_seconds > limit;
}

/** A sensor named for alarms that says anything but that all is well. */
function isAlarm(one: Latest): boolean {
  return ALARMS.test(one.sensor_name) && !CALM.test((one.text ?? String(one.value ?? "")).trim());
}
