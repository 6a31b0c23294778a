// All state of the page as its address, and back.

export interface Pen {
  asset: string;
  sensor: string;
  step: boolean;
  /** On a lane with a scale of its own, whatever others have its unit. */
  own: boolean;
  /** Its place in the palette, which has one for dark and one for light. */
  colour: number;
  /** Least and greatest of its scale; else these are as the readings are. */
  scale: [number, number] | null;
}

export interface View {
  tab: "trend" | "overview" | "pipeline" | "files";
  pens: Pen[];
  from: number;
  to: number;
  /** The window follows now; its length is `to - from`. */
  live: boolean;
  zone: string;
  /** The same pens so many seconds earlier, laid over these. */
  shift: number;
  resolution: string;
  gap: number;
  filter: string;
  /** Cursors, in seconds. */
  marks: Partial<Record<"A" | "B", number>>;
  /** What the tab Files looks at. */
  asset: string;
}

export const MAX_PENS = 10;
export const COLOURS = ["blue", "orange", "green", "purple", "ochre", "pink", "teal", "violet", "brown", "olive"] as const;
const TABS = ["trend", "overview", "pipeline", "files"] as const;
const RESOLUTIONS = ["auto", "raw", "minute", "hour", "day"];
const UNITS: Record<string, number> = { s: 1, min: 60, h: 3600, d: 86_400, w: 604_800 };

const iso = (seconds: number): string => new Date(Math.round(seconds * 1000)).toISOString();
const strict = (text: string): string =>
  encodeURIComponent(text).replace(/[~'()*!]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

/** A pen as it is before anybody has changed it; its place among the others gives its colour. */
export function newPen(asset: string, sensor: string, colour = 0): Pen {
  return { asset, sensor, step: false, own: false, colour, scale: null };
}

/** The first colour that no pen has. */
export function freeColour(pens: Pen[]): number {
  const taken = new Set(pens.map((pen) => pen.colour));
  return COLOURS.findIndex((_, number) => !taken.has(number));
}

/** What differs from a new pen at its place stands behind the names. */
export function penText(pen: Pen, place = pen.colour): string {
  const marks = [
    pen.step && "step",
    pen.own && "own",
    pen.colour !== place && `c${pen.colour}`,
    pen.scale && pen.scale.map((one) => String(one).replace("+", "")).join(".."),
  ];
  return [`${strict(pen.asset)}/${strict(pen.sensor)}`, ...marks.filter(Boolean)].join("~");
}

export function readPen(text: string, place: number): Pen | null {
  const [names = "", ...marks] = text.split("~");
  const slash = names.indexOf("/");
  if (slash < 1) return null;
  try {
    const colour = marks.find((one) => /^c\d$/.test(one));
    return {
      asset: decodeURIComponent(names.slice(0, slash)),
      sensor: decodeURIComponent(names.slice(slash + 1)),
      step: marks.includes("step"),
      own: marks.includes("own"),
      colour: colour ? Number(colour.slice(1)) : place,
      scale: marks.map(readScale).find((one) => one !== null) ?? null,
    };
  } catch {
    return null;
  }
}

export function readScale(text: string): [number, number] | null {
  const [low = NaN, high = NaN] = text.includes("..") ? text.split("..").map((one) => (one.trim() ? Number(one) : NaN)) : [];
  return low < high && high - low < Infinity ? [low, high] : null;
}

export function duration(text: string): number {
  const found = /^(\d+(?:\.\d+)?)(s|min|h|d|w)$/.exec(text);
  return found ? Number(found[1]) * (UNITS[found[2] ?? ""] ?? 0) : 0;
}

export function span(seconds: number): string {
  for (const unit of ["w", "d", "h", "min"]) {
    const size = UNITS[unit] ?? 1;
    if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`;
  }
  return `${seconds}s`;
}

export function write(view: View): string {
  const parts = view.pens.map((pen, place) => `pen=${penText(pen, place).replace(/%/g, "%25")}`);
  if (view.tab !== "trend") parts.unshift(`tab=${view.tab}`);
  if (view.live) parts.push(`live=${span(Math.round(view.to - view.from))}`);
  else parts.push(`from=${iso(view.from)}`, `to=${iso(view.to)}`);
  parts.push(`tz=${encodeURIComponent(view.zone).replace(/%2F/g, "/")}`);
  if (view.shift) parts.push(`shift=${span(view.shift)}`);
  if (view.resolution !== "auto") parts.push(`resolution=${view.resolution}`);
  if (view.gap !== 5) parts.push(`gap=${view.gap}`);
  for (const mark of ["A", "B"] as const) {
    const at = view.marks[mark];
    if (at !== undefined) parts.push(`${mark.toLowerCase()}=${iso(at)}`);
  }
  if (view.asset) parts.push(`asset=${encodeURIComponent(view.asset)}`);
  if (view.filter) parts.push(`filter=${encodeURIComponent(view.filter)}`);
  return `?${parts.join("&")}`;
}

export function read(query: string, now: number): View {
  const given = new URLSearchParams(query);
  const tab = TABS.find((one) => one === given.get("tab"));
  const live = duration(given.get("live") ?? "");
  const from = Date.parse(given.get("from") ?? "") / 1000;
  const to = Date.parse(given.get("to") ?? "") / 1000;
  const fixed = !live && from < to;
  const length = live || 3600;
  return {
    tab: tab ?? "trend",
    pens: given
      .getAll("pen")
      .slice(0, MAX_PENS)
      .map(readPen)
      .filter((pen): pen is Pen => pen !== null),
    from: fixed ? from : now - length,
    to: fixed ? to : now,
    live: !fixed,
    zone: zoneOf(given.get("tz") ?? "UTC") ?? "UTC",
    shift: duration(given.get("shift") ?? ""),
    resolution: RESOLUTIONS.find((one) => one === given.get("resolution")) ?? "auto",
    gap: Math.max(1, Number(given.get("gap") ?? 5) || 5),
    filter: given.get("filter") ?? "",
    marks: marksOf(given),
    asset: given.get("asset") ?? "",
  };
}

const isTime = (text: string): boolean => !Number.isNaN(Date.parse(text));
const isDuration = (text: string): boolean => duration(text) > 0;
const isAnything = (): boolean => true;
const UNDERSTOOD: Record<string, (text: string) => boolean> = {
  tab: (text) => TABS.some((one) => one === text),
  pen: (text) => readPen(text, 0) !== null,
  live: isDuration,
  from: isTime,
  to: isTime,
  tz: (text) => zoneOf(text) !== null,
  shift: isDuration,
  resolution: (text) => RESOLUTIONS.includes(text),
  gap: (text) => Number(text) >= 1,
  a: isTime,
  b: isTime,
  filter: isAnything,
  asset: isAnything,
};

/** What an address says that `read` makes nothing of. */
export function leftOut(query: string): string[] {
  const given = new URLSearchParams(query);
  const found = [...given].filter(([one, text]) => !UNDERSTOOD[one]?.(text)).map(([one, text]) => `${one}=${text}`);
  const [from, to] = [given.get("from"), given.get("to")];
  if (!given.has("live") && (from ?? to) !== null && !(Date.parse(from ?? "") < Date.parse(to ?? ""))) found.push("a window needs from and to, in this order");
  if (given.getAll("pen").length > MAX_PENS) found.push(`more than ${MAX_PENS} pens`);
  return found;
}

function marksOf(given: URLSearchParams): View["marks"] {
  const marks: View["marks"] = {};
  for (const mark of ["A", "B"] as const) {
    const at = Date.parse(given.get(mark.toLowerCase()) ?? "") / 1000;
    if (!Number.isNaN(at)) marks[mark] = at;
  }
  return marks;
}

/** The zone's own name; null of one this browser does not know. */
function zoneOf(text: string): string | null {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: text }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}
