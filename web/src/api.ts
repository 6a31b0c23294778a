// The service's public HTTP API; every address is relative, so that the page works below any path.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly hint: string,
    readonly parameter = "",
  ) {
    super(detail || title);
  }
}

export interface Latest {
  asset_id: string;
  sensor_name: string;
  timestamp: string;
  age_seconds: number;
  value: number | null;
  text: string | null;
  unit: string | null;
  quality: string | null;
}

export interface Sensor {
  sensor_name: string;
  kind: "number" | "text";
  unit: string | null;
  first: string | null;
  last: Latest | null;
  readings: number;
  staged: number;
  usual_interval_seconds: number | null;
}

export interface Health {
  status: "ok" | "degraded" | "down";
  reasons: { state: string; worker: string; what: string; hint: string }[];
  lamp: { line: string; received_readings: number; stored_readings: number; dead_letters: number; lag_messages: number };
  version: string;
}

export interface Stats {
  time: string;
  counts: Record<string, number>;
  size_bytes: Record<string, number>;
  disk: { size_bytes: number; free_bytes: number };
  oldest_waiting: string | null;
  workers: {
    name: string;
    role: string;
    pid: number;
    started: string;
    age_seconds: number;
    fresh: boolean;
    paused: string;
    halted: string;
    error: string;
    lag_messages: number | null;
    blocked: Record<string, string>;
  }[];
}

export type Row = Record<string, number | string | boolean | null>;
export interface Answer {
  resolution: "raw" | "minute" | "hour" | "day";
  thinned_by: string | null;
  warnings: string[];
  rows: Row[];
}

export type Parameters = [string, string | number][];

export function address(path: string, parameters: Parameters = []): string {
  const query = parameters.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  return query ? `${path}?${query}` : path;
}

export async function call<T>(
  path: string,
  parameters: Parameters = [],
  options: { signal?: AbortSignal; method?: string } = {},
): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(address(path, parameters), { ...options, headers: { accept: "application/json" } });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Problem(0, "The service does not answer", "", "this page asks again by itself; see whether the service runs");
  }
  if (answer.ok) return (await answer.json()) as T;
  const told = (await answer.json().catch(() => ({}))) as Record<string, string>;
  throw new Problem(
    answer.status,
    told.title ?? `The service answered ${answer.status}`,
    told.detail ?? "",
    told.hint ?? (answer.status === 401 ? "give a key that is valid" : ""),
    told.parameter,
  );
}

export function told(error: unknown): string {
  if (!(error instanceof Problem)) return String(error);
  return [error.title, error.detail, error.hint].filter(Boolean).join(". ");
}

/** All assets, page by page; `found` hears of each page, so that typing need not wait for the last. */
export async function allAssets(found: (names: string[]) => void): Promise<void> {
  let after: string | null = null;
  do {
    const parameters: Parameters = [["limit", 10_000]];
    if (after !== null) parameters.push(["after", after]);
    const page: { assets: string[]; next: string | null } = await call("assets", parameters);
    found(page.assets);
    after = page.next;
  } while (after !== null);
}

export async function sensorsOf(asset: string): Promise<{ sensors: Sensor[]; next: string | null }> {
  return call(`assets/${encodeURIComponent(asset)}/sensors`, [["limit", 1_000]]);
}

const RAW = "value,text,quality,unit";
const WINDOWS =
  "count,bad_count,null_count,min,max,sum,mean,stddev,unit,covered_us,time_weighted_mean,good_ratio,text_count,last_text,text_changes";
/** One sensor's readings or windows. Which columns there are depends on the resolution, so they are named only where
 * that is asked for; with `auto` all of them come. */
export async function ask(
  asset: string,
  sensor: string,
  from: number,
  to: number,
  zone: string,
  resolution: string,
  points: number,
  signal: AbortSignal,
): Promise<Answer> {
  const parameters: Parameters = [
    ["asset", asset],
    ["sensor", sensor],
    ["start", iso(from)],
    ["end", iso(to)],
    ["resolution", resolution],
    ["tz", zone],
  ];
  if (resolution === "auto" || resolution === "raw") parameters.push(["max_points", points]);
  if (resolution !== "auto") parameters.push(["fields", resolution === "raw" ? RAW : WINDOWS]);
  return call("query", parameters, { signal });
}

export function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
