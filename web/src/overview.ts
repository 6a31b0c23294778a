// The tab Overview: the last value of every sensor and its age, from one request.

import { call, told, type Latest } from "./api";
import { fill, h, name, state } from "./dom";
import { penText, type View } from "./link";
import { isBad } from "./series";
import { age, moment, value } from "./words";

const LIMIT = 1_000;
const AGAIN_MS = 3_000;
const STALE_SECONDS = 300;

export class Overview {
  private readonly filter = h("input", { type: "search", id: "filter", placeholder: "Filter by asset, sensor or unit", "aria-label": "Filter" });
  private readonly amiss = h("input", { type: "checkbox", id: "amiss" });
  private readonly note = h("p", { class: "note", role: "status" });
  private readonly body = h("div", { class: "scroll" });
  readonly element = h("section", { class: "main" }, h("div", { class: "tools" }, this.filter, h("label", {}, this.amiss, " only stale or bad")), this.note, this.body);
  private readings: Latest[] | null = null;
  private timer = 0;

  constructor(
    private readonly view: View,
    changed: (settle: boolean) => void,
  ) {
    this.filter.addEventListener("input", () => {
      view.filter = this.filter.value;
      changed(false);
      this.draw();
    });
    this.amiss.addEventListener("change", () => this.draw());
  }

  show(): void {
    this.filter.value = this.view.filter;
    if (!this.readings) fill(this.body, state("loading", "Loading last values …"));
    void this.load();
  }

  hide(): void {
    clearTimeout(this.timer);
  }

  private async load(): Promise<void> {
    clearTimeout(this.timer);
    try {
      this.readings = (await call<{ readings: Latest[] }>("latest", [["limit", LIMIT]])).readings;
      this.draw();
    } catch (error) {
      fill(this.note, state("error", told(error)));
    }
    this.timer = window.setTimeout(() => void this.load(), AGAIN_MS);
  }

  private draw(): void {
    const all = this.readings ?? [];
    if (!all.length) {
      fill(this.note);
      fill(this.body, state("empty", "Nothing is stored yet. The tab Pipeline tells whether Kafka answers."));
      return;
    }
    const words = this.view.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter((one) => {
      const text = `${one.asset_id} ${one.sensor_name} ${one.unit ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word)) && (!this.amiss.checked || mark(one) !== "");
    });
    const stale = all.filter((one) => one.age_seconds > STALE_SECONDS).length;
    const more = all.length === LIMIT ? ", the first there are; find others in Trend" : "";
    fill(this.note, `${found.length} of ${all.length} sensors${more} · ${stale} silent for more than ${age(STALE_SECONDS)}`);
    const heads = ["asset", "sensor", "last", "unit", "age", ""];
    fill(
      this.body,
      h("table", { class: "overview" }, h("thead", {}, h("tr", {}, ...heads.map((head) => (head ? h("th", { scope: "col" }, head) : h("td", {}))))), h("tbody", {}, ...found.map((one) => this.row(one)))),
    );
  }

  private row(one: Latest): HTMLElement {
    const pen = penText({ asset: one.asset_id, sensor: one.sensor_name, step: one.text !== null }).replace(/%/g, "%25");
    const at = Date.parse(one.timestamp) / 1000;
    const time = one.age_seconds < 3600 ? "live=1h" : `from=${new Date((at - 3000) * 1000).toISOString()}&to=${new Date((at + 600) * 1000).toISOString()}`;
    return h(
      "tr",
      { class: mark(one) ? "amiss" : "" },
      h("td", {}, name(one.asset_id)),
      h("td", {}, h("a", { href: `explore?pen=${pen}&${time}&tz=${encodeURIComponent(this.view.zone)}` }, name(one.sensor_name))),
      h("td", { class: "number" }, one.text === null ? value(one.value) : name(one.text, 30)),
      h("td", {}, one.unit === null ? "" : name(one.unit, 20)),
      h("td", { title: moment(at, this.view.zone) }, age(one.age_seconds)),
      h("td", {}, mark(one)),
    );
  }
}

function mark(one: Latest): string {
  if (isBad(one.quality)) return "▾ bad";
  return one.age_seconds > STALE_SECONDS ? "⚠ stale" : "";
}
