// The tab Files: which hours there are and where, what is in a file, where a Kafka message is, and dead letters.

import { call, told, type Coverage, type Where } from "./api";
import { fill, h, name, roving, state } from "./dom";
import { Letters } from "./letters";
import type { View } from "./link";
import { showFile } from "./stored";
import { count } from "./words";

const DAYS = 35;
const DAY = 86_400;
const PLACES: Record<string, [string, string]> = {
  b: ["both", "here and in the cold store"],
  l: ["local", "here alone"],
  c: ["cloud", "in the cold store alone"],
  s: ["staged", "in staging, its file comes soon"],
  ".": ["none", "nothing"],
};

export class Files {
  private readonly assets = h("datalist", { id: "assets" });
  private readonly asset = h("input", { id: "asset", required: true, autocomplete: "off", list: "assets", "aria-label": "Asset", placeholder: "Asset" });
  private readonly calendar = h("div", { class: "scroll" });
  private readonly day = h("div");
  private readonly topic = h("input", { id: "topic", required: true, "aria-label": "Topic", placeholder: "Topic" });
  private readonly partition = h("input", { id: "partition", type: "number", min: 0, value: 0, required: true, "aria-label": "Partition" });
  private readonly offset = h("input", { id: "offset", type: "number", min: 0, required: true, "aria-label": "Offset", placeholder: "Offset" });
  private readonly found = h("div", { "aria-live": "polite" });
  private readonly letters: Letters;
  readonly element: HTMLElement;

  constructor(
    private readonly view: View,
    private readonly changed: (settle: boolean) => void,
  ) {
    this.letters = new Letters(() => view.zone);
    const form = (submit: () => Promise<void>, ...fields: (HTMLElement | string)[]): HTMLElement =>
      h("form", { class: "tools", submit: (event: Event) => (event.preventDefault(), void submit()) }, ...fields);
    const legend = Object.values(PLACES).map(([kind, words]) => h("li", {}, h("span", { class: `hour ${kind}`, "aria-hidden": "true" }), words));
    this.element = h(
      "section",
      { class: "main" },
      h("h2", {}, `Hours with readings, the last ${DAYS} days`),
      form(() => this.choose(), this.asset, this.assets, h("button", {}, "Show"), h("ul", { class: "legend" }, ...legend)),
      this.calendar,
      this.day,
      h("h2", {}, "Where is a Kafka message?"),
      form(() => this.find(), this.topic, h("label", {}, "partition ", this.partition), h("label", {}, "offset ", this.offset), h("button", {}, "Find")),
      this.found,
      h("h2", {}, "Dead letters"),
      this.letters.element,
    );
  }

  show(): void {
    void this.letters.load();
    void this.suggest();
  }

  hide(): void {}

  private async choose(): Promise<void> {
    this.view.asset = this.asset.value;
    this.changed(true);
    await this.cover();
  }

  /** Names to choose from, and the first of them to begin with. */
  private async suggest(): Promise<void> {
    try {
      const { assets } = await call<{ assets: string[] }>("assets", [["limit", 1_000]]);
      fill(this.assets, ...assets.map((one) => h("option", { value: one })));
      this.asset.value = this.view.asset || this.asset.value || (assets[0] ?? "");
      if (this.asset.value) await this.cover();
      else fill(this.calendar, state("empty", "Nothing is stored yet."));
    } catch (error) {
      fill(this.calendar, state("error", told(error)));
    }
  }

  private async cover(): Promise<void> {
    fill(this.day);
    fill(this.calendar, state("loading", "Looking what there is …"));
    try {
      this.drawDays(await call<Coverage>("coverage", [["asset", this.asset.value], ["start", `-${DAYS - 1}d`], ["limit", 1_000]]));
    } catch (error) {
      fill(this.calendar, state("error", told(error)));
    }
  }

  private drawDays(found: Coverage): void {
    const first = Date.parse(found.first_day) / 1000 / DAY;
    const last = Date.parse(found.last_day) / 1000 / DAY;
    const date = (day: number): string => new Date(day * DAY * 1000).toISOString().slice(0, 10);
    const days = Array.from({ length: last - first + 1 }, (_, index) => date(first + index));
    if (!found.sensors.some((sensor) => sensor.days.length)) return fill(this.calendar, state("empty", "No readings on these days."));
    const rows = found.sensors.map((sensor) => {
      const own = new Map(sensor.days.map((one) => [one.day, one]));
      const cells = days.map((day) => {
        const there = own.get(day);
        if (!there) return h("td", { class: "none" }, h("span", { class: "hidden" }, "none"));
        const kind = kindOf(there.hours, day === found.last_day);
        const words = `${sensor.sensor_name}, ${day}: ${count(there.readings)} readings in ${[...there.hours].filter((one) => one !== ".").length} hours, ${kind.words}`;
        return h("td", {}, h("button", { class: `day ${kind.place} ${kind.gaps ? "gaps" : ""}`, title: words, "aria-label": words, click: () => this.drawHours(sensor.sensor_name, day, there.hours) }));
      });
      return h("tr", {}, h("th", { scope: "row" }, name(sensor.sensor_name, 40)), ...cells);
    });
    const months = days.map((day) => h("th", { scope: "col", title: day }, day.endsWith("-01") || day === days[0] ? day.slice(5) : h("span", { class: "hidden" }, day)));
    const body = h("tbody", {}, ...rows);
    roving(body);
    fill(this.calendar, h("table", { class: "days" }, h("caption", {}, `${days[0]} to ${days.at(-1)}, UTC days; hatched: hours without readings`), h("thead", {}, h("tr", {}, h("td", {}), ...months)), body));
    this.calendar.scrollLeft = this.calendar.scrollWidth; // where it is too narrow for all, the newest days
  }

  private drawHours(sensor: string, day: string, hours: string): void {
    const file = h("div");
    const cells = [...hours].map((letter, hour) => {
      const [kind, words] = PLACES[letter] ?? ["none", "nothing"];
      const time = `${day}T${String(hour).padStart(2, "0")}:00:00Z`;
      const label = `${time}: ${words}`;
      const open = (): void => void showFile(file, this.asset.value, sensor, time, this.view.zone);
      return h("td", {}, letter === "." || letter === "s" ? h("span", { class: `hour ${kind}`, title: label }) : h("button", { class: `hour ${kind}`, title: label, "aria-label": `${hour} h, ${label}`, click: open }, String(hour)));
    });
    const body = h("tbody", {}, h("tr", {}, ...cells));
    roving(body);
    fill(this.day, h("h3", {}, name(this.asset.value), " / ", name(sensor), ` on ${day}, hour by hour (UTC)`), h("div", { class: "scroll" }, h("table", { class: "hours" }, body)), file);
    this.day.querySelector("button")?.focus();
  }

  private async find(): Promise<void> {
    fill(this.found, state("loading", "Looking …"));
    try {
      const where = await call<Where>("where", [["topic", this.topic.value], ["partition", this.partition.value], ["offset", this.offset.value]]);
      const file = h("div");
      const readings = where.readings.map((one) => {
        const open = (): void => void showFile(file, one.asset_id, one.sensor_name, one.timestamp, this.view.zone);
        const tier = { staging: "staging", local: "on this disk", cloud: "in the cold store" }[one.tier] ?? one.tier;
        return h("li", {}, name(one.asset_id), " / ", name(one.sensor_name), ` ${one.timestamp} ${tier}, in `, h("code", {}, one.file), " ", one.tier !== "staging" && h("button", { click: open }, "Look into it"));
      });
      const words: Record<string, string> = { unknown: "not known to the ledger: it has not been consumed, or never was there", gap: "in a gap: Kafka no longer had it when it was due", empty: "empty: it held nothing to store" };
      fill(
        this.found,
        h("p", {}, "The message is ", h("strong", {}, words[where.state] ?? where.state), "."),
        ...where.ledger.map((one) => h("p", { class: "soft" }, `Ledger: ${one.fate}, offsets ${one.first_offset} to ${one.last_offset} ${one.reason}`)),
        h("ul", {}, ...readings),
        where.reading_count > readings.length && h("p", { class: "soft" }, `and ${count(where.reading_count - readings.length)} more readings of it`),
        file,
      );
    } catch (error) {
      fill(this.found, state("error", told(error)));
    }
  }
}

/** Where a day's hours are, most of all where they are not safe yet; and are there holes between them? */
function kindOf(hours: string, today: boolean): { place: string; gaps: boolean; words: string } {
  const place = hours.includes("l") ? "local" : hours.includes("b") ? "both" : hours.includes("c") ? "cloud" : "staged";
  const inner = today ? hours.slice(0, hours.search(/\.*$/)) : hours;
  const gaps = inner.includes(".");
  const kinds = ["b", "l", "c", "s"].filter((letter) => hours.includes(letter)).map((letter) => PLACES[letter]?.[1]);
  return { place, gaps, words: `${kinds.join("; ")}${gaps ? "; with hours that have none" : ""}` };
}
