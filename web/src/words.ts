// Numbers, times and ages as people read them.

const plain = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 6 });
const LONGEST = 40;
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });

export const value = (one: number | null | undefined, text: string | null = null): string => text?.slice(0, LONGEST) ?? (one === null || one === undefined ? "—" : plain.format(one));
export const count = (one: number): string => whole.format(one);

export function age(seconds: number): string {
  if (seconds < 0) return `in ${age(-seconds)}`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let index = 0;
  while (size >= 1000 && index < units.length - 1) {
    size /= 1000;
    index += 1;
  }
  return `${size.toFixed(index && size < 100 ? 1 : 0)} ${units[index]}`;
}

export const share = (one: number | null | undefined): string => (one === null || one === undefined ? "—" : `${(one * 100).toFixed(one === 1 ? 0 : 1)} %`);

/** Date and 24 h time in the zone, with its offset: never to be mistaken. */
export function moment(seconds: number, zone: string): string {
  const text = new Intl.DateTimeFormat(undefined, {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: seconds % 1 ? 3 : undefined,
    hourCycle: "h23",
    timeZoneName: "shortOffset",
  }).format(new Date(seconds * 1000));
  return text.replace("GMT", "UTC").replace(/UTC\+0$/, "UTC");
}

/** From when to when, with the zone's name. */
export const period = (from: number, to: number, zone: string): string => `${moment(from, zone)} – ${moment(to, zone)} · ${zone}`;
