// Pick a sensor by typing: assets are matched here as they come, sensors are found by the service.

import { amiss, SIGNS } from "./amiss";
import { allAssets, call, told, type Latest, type LatestPage } from "./api";
import { nothingStored } from "./blank";
import { fill, h, name, spark, state } from "./dom";
import { age, value } from "./words";

const SHOWN = 60;
const SHOWN_OF_A_SEARCH = 12;
const FOUND = 30;
const LIKELY = 40;
const PAUSE_MS = 200;
const AGAIN_MS = 5_000;
const MOST_SORTED = 20_000; // beyond that the service's order does
const natural = new Intl.Collator("en", { numeric: true }).compare;

export class Picker {
  readonly search = h("input", { type: "search", id: "search", placeholder: "Search assets and sensors  /", "aria-label": "Search assets and sensors", autocomplete: "off" });
  private readonly found = h("ul", { class: "sensors found" });
  private readonly list = h("ul", { class: "assets" });
  readonly element = h("nav", { class: "picker", "aria-label": "Assets and sensors" }, this.search, this.list, this.found);
  private assets: string[] = [];
  private open = "";
  private loading = true;
  private pause = 0;
  private asking: AbortController | null = null;

  constructor(private readonly pick: (asset: string, sensor: string) => void) {
    this.search.addEventListener("input", () => {
      this.show();
      clearTimeout(this.pause);
      this.pause = window.setTimeout(() => void this.find(), PAUSE_MS);
    });
    void this.load();
    setInterval(() => void this.refresh(), AGAIN_MS);
  }

  async load(): Promise<void> {
    this.loading = true;
    this.assets = [];
    this.show();
    try {
      await allAssets((names) => {
        this.assets = [...this.assets, ...names];
        if (this.assets.length <= MOST_SORTED) this.assets.sort(natural);
        this.show();
      });
      this.loading = false;
      this.show();
    } catch (error) {
      fill(this.list, h("li", {}, state("error", told(error)), h("button", { click: () => void this.load() }, "Try again")));
    }
  }

  private words(): string[] {
    return this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  }

  private show(): void {
    const words = this.words();
    const found = this.assets.filter((asset) => words.every((word) => asset.toLowerCase().includes(word)));
    const most = words.length ? SHOWN_OF_A_SEARCH : SHOWN;
    const more = found.length - most;
    fill(
      this.list,
      ...found.slice(0, most).map((asset) => this.asset(asset)),
      more > 0 && h("li", { class: "soft" }, `and ${more} more assets; type to narrow them`),
      !found.length && !words.length && h("li", {}, this.loading ? state("loading", "Loading assets …") : nothingStored()),
    );
  }

  /** Sensors that have all the words in their own or their asset's name. */
  private async find(): Promise<void> {
    this.asking?.abort();
    const words = this.words();
    if (!words.length) return fill(this.found);
    const asking = (this.asking = new AbortController());
    try {
      const among = this.likely(words).map((asset): [string, string] => ["asset", asset]);
      const page = await call<LatestPage>("latest", [["contains", words.join(" ")], ["limit", FOUND], ...among], { signal: asking.signal });
      const known = page.readings.map((one) => h("li", {}, this.sensor(one, true)));
      const nothing = !known.length && !this.list.childElementCount;
      fill(
        this.found,
        known.length > 0 && h("li", { class: "soft" }, "Sensors"),
        ...known,
        page.next !== null && h("li", { class: "soft" }, "and more sensors; type to narrow them"),
        nothing && h("li", {}, state("empty", page.next ? "Not among the first ones; type more of the asset's name." : "No asset or sensor has that in its name.")),
      );
    } catch (error) {
      if (!asking.signal.aborted) fill(this.found, h("li", {}, state("error", told(error))));
    }
  }

  /** Where some words name few assets, these alone are looked through: quick among a million sensors. */
  private likely(words: string[]): string[] {
    const hits = this.assets.map((asset) => words.filter((word) => asset.toLowerCase().includes(word)).length);
    const most = hits.reduce((a, b) => Math.max(a, b), 0);
    const best = most ? this.assets.filter((_, index) => hits[index] === most) : [];
    return best.length <= LIKELY ? best : [];
  }

  private asset(asset: string): HTMLElement {
    const sensors = h("ul", { class: "sensors" });
    const item = h("details", { name: "asset", open: asset === this.open }, h("summary", {}, name(asset)), sensors);
    item.addEventListener("toggle", () => {
      if (!item.open || sensors.childElementCount) return;
      this.open = asset;
      void this.sensors(asset, sensors);
    });
    return h("li", {}, item);
  }

  /** The values of the asset that is open, while somebody can see them. */
  private async refresh(): Promise<void> {
    const list = this.list.querySelector<HTMLElement>("details[open] .sensors");
    if (!list?.isConnected || document.hidden || list.contains(document.activeElement)) return;
    await this.sensors(this.open, list);
  }

  private async sensors(asset: string, list: HTMLElement): Promise<void> {
    if (!list.childElementCount) fill(list, h("li", {}, state("loading", "Loading sensors …")));
    try {
      const page = await call<LatestPage>("latest", [["asset", asset], ["limit", 1_000], ["recent", 40]]);
      fill(
        list,
        ...page.readings.map((one) => h("li", {}, this.sensor(one, false))),
        page.next !== null && h("li", { class: "soft" }, "and more; search for them by name"),
      );
    } catch (error) {
      fill(list, h("li", {}, state("error", told(error))));
    }
  }

  private sensor(one: Latest, whole: boolean): HTMLElement {
    const unit = one.unit ? ` ${one.unit}` : "";
    const mark = one.recent ? amiss(one) : "";
    return h(
      "button",
      { class: "sensor", click: () => this.pick(one.asset_id, one.sensor_name) },
      h("span", {}, whole ? name(one.asset_id, 30) : null, whole ? " / " : null, name(one.sensor_name, 40), mark && h("span", { class: mark, title: mark }, ` ${SIGNS[mark].slice(0, 1)}`, h("span", { class: "hidden" }, mark))),
      h("span", { class: "soft" }, h("b", {}, `${one.text?.slice(0, 40) ?? value(one.value)}${unit.slice(0, 12)}`), mark === "silent" ? ` silent ${age(one.age_seconds)}` : ` ${age(one.age_seconds)} ago`),
      one.recent && one.recent.length > 1 && spark(one.recent, 60, 18),
    );
  }
}
