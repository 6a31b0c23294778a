// The tab Files: which days each sensor has, and where a Kafka message is.

import { call, told, type Answer } from "./api";
import { fill, h, name, state } from "./dom";
import { count } from "./words";

const DAYS = 35;
const DAY = 86_400;

interface Where {
  state: string;
  ledger: { fate: string; first_offset: number; last_offset: number; reason: string }[];
  readings: { file: string; asset_id: string; sensor_name: string; timestamp: string; value: number | null }[];
}

export class Files {
  private readonly asset = h("input", { id: "asset", required: true, autocomplete: "off", "aria-label": "Asset" });
  private readonly calendar = h("div", { class: "scroll" });
  private readonly topic = h("input", { id: "topic", required: true, "aria-label": "Topic" });
  private readonly partition = h("input", { id: "partition", type: "number", min: 0, value: 0, required: true, "aria-label": "Partition" });
  private readonly offset = h("input", { id: "offset", type: "number", min: 0, required: true, "aria-label": "Offset" });
  private readonly found = h("div", { class: "scroll" });
  readonly element: HTMLElement;

  constructor() {
    const form = (submit: () => Promise<void>, ...fields: (HTMLElement | string)[]): HTMLElement =>
      h("form", { class: "tools", submit: (event: Event) => (event.preventDefault(), void submit()) }, ...fields);
    this.element = h(
      "section",
      { class: "main" },
      h("h2", {}, `Days with readings, the last ${DAYS}`),
      form(() => this.cover(), "Asset", this.asset, h("button", {}, "Show")),
      this.calendar,
      h("h2", {}, "Where is a Kafka message?"),
      form(() => this.find(), "Topic", this.topic, "Partition", this.partition, "Offset", this.offset, h("button", {}, "Find")),
      this.found,
      h("h2", {}, "Dead letters"),
      h("p", {}, "Messages that could not become readings are kept whole. On the service's machine ", h("code", {}, "sensor-storage dead-letters list"), " shows them with their reason."),
    );
  }

  show(): void {}

  hide(): void {}

  private async cover(): Promise<void> {
    fill(this.calendar, state("loading", "Counting readings by day …"));
    const first = Math.floor(Date.now() / 1000 / DAY) - DAYS + 1;
    try {
      const answer = await call<Answer>("query", [
        ["asset", this.asset.value],
        ["start", new Date(first * DAY * 1000).toISOString()],
        ["resolution", "day"],
        ["fields", "count,bad_count,null_count,text_count"],
      ]);
      this.drawDays(answer, first);
    } catch (error) {
      fill(this.calendar, state("error", told(error)));
    }
  }

  private drawDays(answer: Answer, first: number): void {
    const sensors = new Map<string, Map<number, number>>();
    for (const row of answer.rows) {
      const days = sensors.get(String(row.sensor_name)) ?? new Map<number, number>();
      const total = ["count", "bad_count", "null_count", "text_count"].reduce((sum, key) => sum + Number(row[key] ?? 0), 0);
      days.set(Math.floor(Date.parse(String(row.window_start)) / 1000 / DAY), total);
      sensors.set(String(row.sensor_name), days);
    }
    if (!sensors.size) return fill(this.calendar, state("empty", "No readings on these days."));
    const days = Array.from({ length: DAYS }, (_, index) => first + index);
    const date = (day: number): string => new Date(day * DAY * 1000).toISOString().slice(0, 10);
    const cell = (day: number, total: number): HTMLElement =>
      h("td", { class: total ? "full" : "none", title: `${date(day)} UTC: ${count(total)} readings` }, h("span", { class: "hidden" }, total ? count(total) : "none"));
    fill(
      this.calendar,
      h(
        "table",
        { class: "days" },
        h("caption", {}, `${date(first)} to ${date(first + DAYS - 1)}, UTC days`),
        h("tbody", {}, ...[...sensors].map(([sensor, own]) => h("tr", {}, h("th", { scope: "row" }, name(sensor)), ...days.map((day) => cell(day, own.get(day) ?? 0))))),
      ),
    );
  }

  private async find(): Promise<void> {
    fill(this.found, state("loading", "Looking …"));
    try {
      const where = await call<Where>("where", [
        ["topic", this.topic.value],
        ["partition", this.partition.value],
        ["offset", this.offset.value],
      ]);
      fill(
        this.found,
        h("p", {}, "The message is: ", h("strong", {}, where.state)),
        ...where.ledger.map((one) => h("p", { class: "soft" }, `ledger: ${one.fate}, offsets ${one.first_offset} to ${one.last_offset} ${one.reason}`)),
        h("ul", {}, ...where.readings.map((one) => h("li", {}, name(one.asset_id), " / ", name(one.sensor_name), ` ${one.timestamp} in `, h("code", {}, one.file)))),
      );
    } catch (error) {
      fill(this.found, state("error", told(error)));
    }
  }
}
