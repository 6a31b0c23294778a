// The tab Overview: the last value of every sensor and its age, by pages, from one request.

import { amiss, SIGNS, type Amiss } from "./amiss";
import { call, told, type Latest, type LatestPage } from "./api";
import { nothingStored } from "./blank";
import { fill, h, name, spark, state, table } from "./dom";
import { newPen, penText, type View } from "./link";
import { age, count, moment, value } from "./words";

const PAGE = 100;
const MOST = 1_000;
const MOST_LOOKED_AT = 10_000;
const RECENT = 40;
const AGAIN_MS = 3_000;
const PAUSE_MS = 250;
const KINDS: Exclude<Amiss, "">[] = ["alarm", "bad", "silent"];

export class Overview {
  private readonly filter = h("input", { type: "search", id: "filter", placeholder: "Filter by words of asset and sensor  /", "aria-label": "Filter by words of asset and sensor" });
  private readonly kinds = h("div", { class: "group", role: "group", "aria-label": "Which sensors" });
  private kind: Amiss | "all" = "all";
  private readonly note = h("p", { class: "note", role: "status" });
  private readonly body = h("div", { class: "scroll values", tabindex: 0, role: "group", "aria-label": "Last values" });
  private readonly more = h("button", { click: () => void this.further() }, "More sensors");
  readonly element = h("section", { class: "main" }, h("div", { class: "tools" }, this.filter, this.kinds), this.note, this.body, this.more);
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
    if (!failed && this.wanting()) return void this.further();
    this.timer = window.setTimeout(() => void (failed ? this.load() : this.refresh()), AGAIN_MS);
  }

  /** Is a kind chosen of which the sensors listed have less than a page? */
  private wanting(): boolean {
    const all = this.readings ?? [];
    return this.kind !== "all" && this.next !== null && all.length < MOST_LOOKED_AT && all.filter((one) => this.mark(one) === this.kind).length < PAGE;
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
    const found = all.filter((one) => this.kind === "all" || this.mark(one) === this.kind);
    this.showKinds(all);
    const assets = new Set(all.map((one) => one.asset_id)).size;
    fill(this.note, `${count(all.length)}${this.next === null ? "" : " and more"} sensors of ${count(assets)} assets${this.wanting() ? "; looking further …" : ""}`);
    let before = "";
    const rows = found.map((one) => {
      const first = one.asset_id !== before;
      before = one.asset_id;
      return this.row(one, first);
    });
    fill(this.body, rows.length || this.wanting() ? table(["asset", "sensor", ">last", "unit", "age", "course", "state"], rows) : state("empty", `None of these is ${this.kind === "alarm" ? "in alarm" : this.kind}.`));
  }

  private row(one: Latest, first: boolean): HTMLElement {
    const pen = penText({ ...newPen(one.asset_id, one.sensor_name), step: one.text !== null }).replace(/%/g, "%25");
    const at = Date.parse(one.timestamp) / 1000;
    const time = one.age_seconds < 3600 ? "live=1h" : `from=${new Date((at - 3000) * 1000).toISOString()}&to=${new Date((at + 600) * 1000).toISOString()}`;
    const course = this.courses.get(keyOf(one)) ?? [];
    const mark = this.mark(one);
    return h(
      "tr",
      { class: first && "first" },
      h("td", {}, h("span", { class: first ? "" : "again" }, name(one.asset_id))),
      h("td", {}, first && h("span", { class: "asset-small" }, name(one.asset_id)), h("a", { href: `explore?pen=${pen}&${time}&tz=${encodeURIComponent(this.view.zone)}` }, name(one.sensor_name))),
      h("td", { class: "number last" }, one.text === null ? value(one.value) : name(one.text, 30), h("span", { class: "unit-small" }, ` ${(one.unit ?? "").slice(0, 12)}`)),
      h("td", { class: "soft" }, one.unit === null ? "" : name(one.unit, 20)),
      h("td", { title: moment(at, this.view.zone) }, age(one.age_seconds)),
      h("td", { class: "course" }, course.length > 1 && spark(course, 160, 22)),
      h("td", { class: mark }, SIGNS[mark]),
    );
  }

  private mark(one: Latest): Amiss {
    return amiss(one, this.courses.get(keyOf(one)));
  }

  /** How many of those listed are so; a press shows these alone. */
  private showKinds(all: Latest[]): void {
    const marks = all.map((one) => this.mark(one));
    const button = (kind: Amiss | "all", words: string): HTMLElement =>
      h("button", { "aria-pressed": String(this.kind === kind), click: () => ((this.kind = kind), this.draw(), this.wanting() && void this.further()) }, words);
    const held = this.kinds.contains(document.activeElement);
    fill(this.kinds, button("all", "All"), ...KINDS.map((kind) => button(kind, `${SIGNS[kind]} ${count(marks.filter((one) => one === kind).length)}`)));
    if (held) this.kinds.querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
  }
}

const keyOf = (one: Latest): string => JSON.stringify([one.asset_id, one.sensor_name]);
