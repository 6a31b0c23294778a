// The tab Overview: the last value of every sensor and its age, by pages, from one request.

import { call, told, type Latest, type LatestPage } from "./api";
import { nothingStored } from "./blank";
import { fill, h, name, spark, state, table } from "./dom";
import { penText, type View } from "./link";
import { isBad, median } from "./series";
import { age, moment, value } from "./words";

const PAGE = 100;
const MOST = 1_000;
const RECENT = 40;
const AGAIN_MS = 3_000;
const PAUSE_MS = 250;
const STALE_SECONDS = 300;

export class Overview {
  private readonly filter = h("input", { type: "search", id: "filter", placeholder: "Filter by words of asset and sensor  /", "aria-label": "Filter by words of asset and sensor" });
  private readonly amiss = h("input", { type: "checkbox", id: "amiss" });
  private readonly note = h("p", { class: "note", role: "status" });
  private readonly body = h("div", { class: "scroll values", tabindex: 0, role: "group", "aria-label": "Last values" });
  private readonly more = h("button", { click: () => void this.further() }, "More sensors");
  readonly element = h("section", { class: "main" }, h("div", { class: "tools" }, this.filter, h("label", {}, this.amiss, " only silent or bad")), this.note, this.body, this.more);
  private readings: Latest[] | null = null;
  private readonly courses = new Map<string, [number, number][]>();
  private next: string | null = null;
  private timer = 0;
  private pause = 0;
  private asking: AbortController | null = null;

  constructor(
    private readonly view: View,
    changed: (settle: boolean) => void,
  ) {
    this.filter.addEventListener("input", () => {
      view.filter = this.filter.value;
      changed(false);
      clearTimeout(this.pause);
      this.pause = window.setTimeout(() => void this.load(), PAUSE_MS);
    });
    this.amiss.addEventListener("change", () => this.draw());
    this.more.hidden = true;
  }

  show(): void {
    this.filter.value = this.view.filter;
    if (!this.readings) fill(this.body, state("loading", "Loading last values …"));
    void this.load();
  }

  hide(): void {
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  /** The first page anew. */
  private async load(): Promise<void> {
    await this.ask(async (signal) => {
      const page = await this.page(PAGE, null, RECENT, signal);
      this.readings = page.readings;
      this.next = page.next;
    });
  }

  private async further(): Promise<void> {
    await this.ask(async (signal) => {
      const page = await this.page(PAGE, this.next, RECENT, signal);
      this.readings = [...(this.readings ?? []), ...page.readings];
      this.next = page.next;
    });
  }

  /** The values of those listed, which is quick; their courses grow here. */
  private async refresh(): Promise<void> {
    await this.ask(async (signal) => {
      const listed = this.readings?.length ?? 0;
      const page = await this.page(Math.max(PAGE, Math.min(listed, MOST)), null, 0, signal);
      this.readings = [...page.readings, ...(this.readings ?? []).slice(page.readings.length)];
      if (listed <= PAGE) this.next = page.next;
    });
  }

  private page(limit: number, after: string | null, recent: number, signal: AbortSignal): Promise<LatestPage> {
    return call("latest", [["limit", limit], ["recent", recent], ["contains", this.view.filter], ...(after === null ? [] : [["after", after] as [string, string]])], { signal });
  }

  private async ask(what: (signal: AbortSignal) => Promise<void>): Promise<void> {
    clearTimeout(this.timer);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    let failed = false;
    try {
      await what(asking.signal);
      if (asking.signal.aborted) return;
      for (const one of this.readings ?? []) this.remember(one);
      this.draw();
    } catch (error) {
      if (asking.signal.aborted) return;
      fill(this.note, state("error", told(error)));
      if (!this.readings) fill(this.body);
      failed = true;
    }
    this.timer = window.setTimeout(() => void (failed ? this.load() : this.refresh()), AGAIN_MS);
  }

  private remember(one: Latest): void {
    const key = keyOf(one);
    if (one.recent) {
      this.courses.set(key, one.recent);
      return;
    }
    const course = this.courses.get(key);
    const at = Date.parse(one.timestamp) / 1000;
    if (course && one.value !== null && at > (course.at(-1)?.[0] ?? 0)) this.courses.set(key, [...course.slice(1 - RECENT), [at, one.value]]);
  }

  private draw(): void {
    const all = this.readings ?? [];
    this.more.hidden = this.next === null;
    if (!all.length) {
      fill(this.note);
      const on = this.next !== null ? state("empty", "Not found among the first sensors yet; More sensors goes on.") : state("empty", "No sensor has these words in its name.");
      fill(this.body, this.view.filter ? on : nothingStored());
      return;
    }
    const found = all.filter((one) => !this.amiss.checked || this.mark(one) !== "");
    const assets = new Set(all.map((one) => one.asset_id)).size;
    const silent = all.filter((one) => this.isSilent(one)).length;
    fill(this.note, `${all.length}${this.next === null ? "" : " and more"} sensors of ${assets} assets · ${silent} silent · ${all.filter((one) => isBad(one.quality)).length} bad`);
    let before = "";
    const rows = found.map((one) => {
      const first = one.asset_id !== before;
      before = one.asset_id;
      return this.row(one, first);
    });
    fill(this.body, rows.length ? table(["asset", "sensor", ">last", "unit", "age", "course", "state"], rows) : state("empty", "Nothing is silent or bad."));
  }

  private row(one: Latest, first: boolean): HTMLElement {
    const pen = penText({ asset: one.asset_id, sensor: one.sensor_name, step: one.text !== null, own: false }).replace(/%/g, "%25");
    const at = Date.parse(one.timestamp) / 1000;
    const time = one.age_seconds < 3600 ? "live=1h" : `from=${new Date((at - 3000) * 1000).toISOString()}&to=${new Date((at + 600) * 1000).toISOString()}`;
    const course = this.courses.get(keyOf(one)) ?? [];
    const mark = this.mark(one);
    return h(
      "tr",
      { class: [mark && "amiss", first && "first"].filter(Boolean).join(" ") },
      h("td", {}, h("span", { class: first ? "" : "again" }, name(one.asset_id))),
      h("td", {}, h("a", { href: `explore?pen=${pen}&${time}&tz=${encodeURIComponent(this.view.zone)}` }, name(one.sensor_name))),
      h("td", { class: "number last" }, one.text === null ? value(one.value) : name(one.text, 30)),
      h("td", { class: "soft" }, one.unit === null ? "" : name(one.unit, 20)),
      h("td", { title: moment(at, this.view.zone) }, age(one.age_seconds)),
      h("td", { class: "course" }, course.length > 1 && spark(course, 160, 22)),
      h("td", {}, mark),
    );
  }

  private mark(one: Latest): string {
    if (isBad(one.quality)) return "▾ bad";
    return this.isSilent(one) ? "⚠ silent" : "";
  }

  /** For five times its usual interval, and five seconds at least; where that is not known for five minutes. */
  private isSilent(one: Latest): boolean {
    const course = this.courses.get(keyOf(one)) ?? [];
    const usual = course.length > 4 ? median(course.map(([time]) => time)) : STALE_SECONDS / 5;
    return one.age_seconds > Math.max(10, 5 * usual);
  }
}

const keyOf = (one: Latest): string => JSON.stringify([one.asset_id, one.sensor_name]);
