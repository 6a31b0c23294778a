// One point of the chart: its value, where it came from, and the file that holds it.

import { call, iso, told, type Answer, type Where } from "./api";
import type { Drawn } from "./chart";
import { facts, fill, h, name, state } from "./dom";
import type { Pen, View } from "./link";
import { showFile } from "./stored";
import { moment, value } from "./words";

const MILLISECOND = 0.001;

export async function showPoint(into: HTMLElement, view: View, pen: Pen, drawn: Drawn, point: number, close: () => void, zoom: (from: number, to: number) => void): Promise<void> {
  const { line } = drawn;
  const time = line.times[point] ?? 0;
  const title = h("h2", {}, name(pen.asset), " / ", name(pen.sensor));
  const end = h("button", { class: "close", "aria-label": "Close", click: close }, "✕");
  if (line.resolution !== "raw" || drawn.shifted) {
    const width = { minute: 60, hour: 3600, day: 86_400, raw: 0 }[line.resolution];
    const start = time - width / 2;
    fill(
      into,
      end,
      title,
      facts(
        [line.resolution, moment(start, view.zone)],
        ["mean", value(line.mean[point])],
        ["least", value(line.min[point])],
        ["greatest", value(line.max[point])],
      ),
      drawn.shifted ? null : h("button", { click: () => zoom(start, start + width) }, "Show its readings"),
    );
    return;
  }
  fill(into, end, title, state("loading", "Asking where it came from …"));
  try {
    const answer = await call<Answer>("query", [
      ["asset", pen.asset],
      ["sensor", pen.sensor],
      ["start", iso(Math.floor(time * 1000 + 0.5) / 1000)],
      ["end", iso(Math.floor(time * 1000 + 0.5) / 1000 + MILLISECOND)],
      ["resolution", "raw"],
      ["addresses", true],
    ]);
    const row = answer.rows.find((one) => one.value === line.mean[point]) ?? answer.rows[0];
    if (!row) return fill(into, end, title, state("empty", "This reading is not there any more."));
    const address = [row.kafka_topic, row.kafka_partition, row.kafka_offset] as const;
    const file = h("div");
    fill(
      into,
      end,
      title,
      facts(
        ["time", moment(time, view.zone)],
        ["value", `${value(Number(row.value))} ${row.unit ?? ""}`],
        ["quality", String(row.quality ?? "not told, good")],
        ["message", h("code", {}, `${address[0]}/${address[1]}@${address[2]}`)],
        ["place in it", String(row.kafka_index)],
      ),
      file,
    );
    const where = await call<Where>("where", [
      ["topic", String(address[0])],
      ["partition", Number(address[1])],
      ["offset", Number(address[2])],
      ["index", Number(row.kafka_index)],
    ]);
    const mine = where.readings.find((one) => one.tier !== "staging");
    if (mine) await showFile(file, pen.asset, pen.sensor, mine.timestamp, view.zone);
    else fill(file, state("empty", "It is in staging, durable; its hour file comes with the next flush."));
  } catch (error) {
    fill(into, end, title, state("error", told(error)));
  }
}
