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
  recent: [number, number][] | null;
}

export interface LatestPage {
  readings: Latest[];
  next: string | null;
}

export interface Health {
  status: "ok" | "degraded" | "down";
  reasons: { state: string; worker: string; what: string; hint: string }[];
  lamp: { line: string; received_readings: number; stored_readings: number; dead_letters: number; lag_messages: number; lag_seconds: number | null; to_upload: number | null };
  version: string;
}

export interface Stats {
  time: string;
  counts: Record<string, number>;
  size_bytes: Record<string, number>;
  disk: { size_bytes: number; free_bytes: number };
  oldest_waiting: string | null;
  cold: {
    url: string;
    uploaded_files: number;
    uploaded_bytes: number;
    waiting_files: number;
    sealed_waiting_files: number;
    failing_files: number;
    oldest_waiting_hour: string | null;
    away: boolean;
    errors: string[];
    removed_files: number;
    removed_bytes: number;
    kept: Record<string, number>;
  } | null;
  workers: {
    name: string;
    role: string;
    pid: number;
    started: string;
    age_seconds: number | null;
    fresh: boolean;
    paused: string;
    halted: string;
    error: string;
    lag_messages: number | null;
    lag_seconds: number | null;
    topics: number | null;
    pattern: string;
    other_topics: string[];
    blocked: Record<string, string>;
  }[];
}

export interface Cleaned {
  dry_run: boolean;
  removed: number;
  removed_bytes: number;
  kept: Record<string, number>;
  files: { file: string; goes: boolean; because: string }[];
}

export interface Receipt {
  etag: string;
  size_bytes: number;
  digest: string;
  rows: number;
  uploaded: string;
}

export interface StoredFile {
  file: string;
  here: boolean;
  receipt: Receipt | null;
  rows: number;
  size_bytes: number;
  digest: string;
  sources: string[];
  columns: Record<string, string>;
}

export interface Where {
  state: string;
  ledger: { fate: string; first_offset: number; last_offset: number; reason: string }[];
  reading_count: number;
  readings: { file: string; asset_id: string; sensor_name: string; timestamp: string; value: number | null; index: number; tier: string }[];
}

export interface Letter {
  kafka_topic: string;
  kafka_partition: number;
  kafka_offset: number;
  kafka_timestamp: string;
  reason: string;
  error: string;
  replayed: boolean;
  value_bytes: number | null;
  key: string | null;
  key_base64: string | null;
  value: string | null;
  value_base64: string | null;
  headers: { name: string; value: string | null; value_base64: string | null }[];
}

export interface Replayed {
  letters: number;
  replayed: number;
  readings: number;
  already: number;
  unreadable: number;
  pending: number;
}

export interface Coverage {
  first_day: string;
  last_day: string;
  sensors: { sensor_name: string; days: { day: string; readings: number; hours: string }[] }[];
  next: string | null;
}

export type Row = Record<string, number | string | boolean | null>;
export interface Answer {
  resolution: "raw" | "minute" | "hour" | "day";
  thinned_by: string | null;
  warnings: string[];
  rows: Row[];
  tiers?: Record<string, number>;
  took_ms?: number;
}

export type Parameters = [string, string | number | boolean][];

// The key stays in this tab; it is never in an address.
const KEY = "sensor-storage-key";
export const key = {
  get: (): string => sessionStorage.getItem(KEY) ?? "",
  set: (text: string): void => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

export function address(path: string, parameters: Parameters = []): string {
  const query = parameters.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return query ? `${path}?${query}` : path;
}

export const absolute = (path: string, parameters: Parameters = []): string => new URL(address(path, parameters), document.baseURI).href;

async function answered(path: string, parameters: Parameters, options: RequestInit): Promise<Response> {
  let answer: Response;
  const headers: Record<string, string> = { accept: "application/json" };
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  try {
    answer = await fetch(address(path, parameters), { ...options, headers });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Problem(0, "The service does not answer", "", "this page asks again by itself; see whether the service runs");
  }
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => ({}))) as Record<string, string>;
  if (answer.status === 401) dispatchEvent(new Event("key-needed"));
  throw new Problem(
    answer.status,
    told.title ?? `The service answered ${answer.status}`,
    told.detail ?? "",
    answer.status === 401 ? "give a key above" : (told.hint ?? ""),
    told.parameter,
  );
}

export async function call<T>(path: string, parameters: Parameters = [], options: { signal?: AbortSignal; method?: string } = {}): Promise<T> {
  return (await (await answered(path, parameters, options)).json()) as T;
}

/** Work the service does on being asked to; waits till its end, however long that takes. */
export async function order<T>(path: string, parameters: Parameters = []): Promise<T> {
  let told = await call<T & { state?: string; location?: string; report?: T }>(path, [...parameters, ["wait", 30]], { method: "POST" });
  while (told.state === "running" && told.location) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const [place = "", more] = told.location.slice(1).split("?");
    told = await call(more ? `${place}?${more}` : place);
  }
  return told.report ?? told;
}

/** The answer as a file. A link can't carry a key, so with one it goes through memory. */
export async function fetchFile(path: string, parameters: Parameters): Promise<string> {
  if (!key.get()) return address(path, parameters);
  const url = URL.createObjectURL(await (await answered(path, parameters, {})).blob());
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return url;
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

const RAW = "value,text,quality,unit";
const WINDOWS =
  "count,bad_count,null_count,min,max,sum,mean,stddev,unit,covered_us,time_weighted_mean,good_ratio,text_count,last,last_timestamp,last_text,text_changes";
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
  return new Date(Math.round(seconds * 1000)).toISOString();
}
