// The same question elsewhere: as a file, a picture, a command, a program, a Grafana query.

import { absolute, fetchFile, iso, told, type Parameters } from "./api";
import { copy, download, h, menu } from "./dom";
import type { Pen, View } from "./link";

export function parameters(view: View, pen: Pen, format?: string): Parameters {
  const own: Parameters = [
    ["asset", pen.asset],
    ["sensor", pen.sensor],
    ["start", iso(view.from)],
    ["end", iso(view.to)],
    ["resolution", view.resolution],
    ["tz", view.zone],
  ];
  return format ? [...own, ["format", format]] : own;
}

const each = (view: View, make: (pen: Pen) => string): string => view.pens.map(make).join("\n");
const shell = (text: string): string => `'${text.replace(/'/g, `'\\''`)}'`;
const literal = (text: string): string => JSON.stringify(text);

export const forms: Record<string, (view: View) => string> = {
  curl: (view) => each(view, (pen) => `curl ${shell(absolute("query", parameters(view, pen, "csv")))}`),
  "command line": (view) =>
    each(view, (pen) => {
      const url = shell(new URL(".", document.baseURI).href);
      return `sensor-storage query ${shell(pen.asset)} ${shell(pen.sensor)} --start ${iso(view.from)} --end ${iso(view.to)} --resolution ${view.resolution} --url ${url}`;
    }),
  Python: (view) => `${head()}${each(view, (pen) => `table = ${asked(view, pen)}`)}\nprint(table)\n`,
  polars: (view) => `import polars\n${head()}${each(view, (pen) => `frame = polars.from_arrow(${asked(view, pen)})`)}\nprint(frame)\n`,
  DuckDB: (view) => `import duckdb\n${head()}${each(view, (pen) => `table = ${asked(view, pen)}`)}\nprint(duckdb.sql("FROM table"))\n`.replaceAll("table", "readings"),
  Grafana: (view) => each(view, (pen) => `max_over_time({${literal(pen.sensor)}, asset_id=${literal(pen.asset)}}[$__interval])`),
};

function head(): string {
  return `from sensor_storage.client import connect\nplant = connect(${literal(new URL(".", document.baseURI).href)})\n`;
}

function asked(view: View, pen: Pen): string {
  return `plant.query(${literal(pen.asset)}, ${literal(pen.sensor)}, start="${iso(view.from)}", end="${iso(view.to)}", resolution="${view.resolution}")`;
}

export async function save(view: View, pen: Pen, format: string, failed: (error: unknown) => void): Promise<void> {
  try {
    download(await fetchFile("query", parameters(view, pen, format)), `${pen.asset}_${pen.sensor}.${format}`.replace(/[^\w.-]+/g, "_"));
  } catch (error) {
    failed(error);
  }
}

/** The menu of them. `say` tells what happened, `picture` saves the chart. */
export function exportMenu(view: View, say: (text: string) => void, picture: () => void): HTMLElement {
  const files = (format: string) => (): void => view.pens.forEach((pen) => void save(view, pen, format, (error) => say(told(error))));
  const item = (label: string, click: () => void): HTMLElement =>
    h("button", { click: (event: Event) => (click(), (event.target as HTMLElement).closest("details")?.removeAttribute("open")) }, label);
  const copied = (what: string, make: (view: View) => string) => async (): Promise<void> => {
    const text = make(view);
    say((await copy(text)) ? `Copied as ${what}.` : text);
  };
  return menu(
    "Export",
    h(
      "div",
      {},
      item("Parquet, a file a pen", files("parquet")),
      item("CSV, times with their offset", files("csv")),
      item("Picture (PNG)", picture),
      item("Print", () => print()),
      ...Object.entries(forms).map(([what, make]) => item(`Copy as ${what}`, () => void copied(what, make)())),
    ),
  );
}
