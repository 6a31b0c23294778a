// Pick a sensor by typing: assets are matched here as they come, sensors are asked for one asset at a time.

import { allAssets, sensorsOf, told, type Sensor } from "./api";
import { fill, h, name, state } from "./dom";
import { age, value } from "./words";

const SHOWN = 60;

export class Picker {
  readonly search = h("input", { type: "search", id: "search", placeholder: "Search assets", "aria-label": "Search assets", autocomplete: "off" });
  private readonly list = h("ul", { class: "assets" });
  readonly element = h("nav", { class: "picker", "aria-label": "Assets and sensors" }, this.search, this.list);
  private assets: string[] = [];
  private open = "";
  private loading = true;

  constructor(private readonly pick: (asset: string, sensor: Sensor) => void) {
    this.search.addEventListener("input", () => this.show());
    void this.load();
  }

  private async load(): Promise<void> {
    this.show();
    try {
      this.assets = [];
      await allAssets((names) => {
        this.assets.push(...names);
        this.show();
      });
      this.loading = false;
      this.show();
    } catch (error) {
      fill(this.list, h("li", {}, state("error", told(error)), h("button", { click: () => void this.load() }, "Try again")));
    }
  }

  private show(): void {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.assets.filter((asset) => words.every((word) => asset.toLowerCase().includes(word)));
    const more = found.length - SHOWN;
    fill(
      this.list,
      ...found.slice(0, SHOWN).map((asset) => this.asset(asset)),
      more > 0 && h("li", { class: "soft" }, `and ${more} more; type to narrow them`),
      !found.length && h("li", {}, this.loading ? state("loading", "Loading assets …") : this.empty()),
    );
  }

  private empty(): HTMLElement {
    if (this.assets.length) return state("empty", "No asset has that in its name.");
    return state("empty", "Nothing is stored yet. The tab Pipeline tells whether Kafka answers and which topics match.");
  }

  private asset(asset: string): HTMLElement {
    const sensors = h("ul", { class: "sensors" });
    const item = h("details", { open: asset === this.open }, h("summary", {}, name(asset)), sensors);
    item.addEventListener("toggle", () => {
      if (!item.open || sensors.childElementCount) return;
      this.open = asset;
      void this.sensors(asset, sensors);
    });
    return h("li", {}, item);
  }

  private async sensors(asset: string, list: HTMLElement): Promise<void> {
    fill(list, h("li", {}, state("loading", "Loading sensors …")));
    try {
      const { sensors, next } = await sensorsOf(asset);
      fill(
        list,
        ...sensors.map((one) => h("li", {}, this.sensor(asset, one))),
        next !== null && h("li", { class: "soft" }, "and more; only the first 1,000 stand here"),
      );
    } catch (error) {
      fill(list, h("li", {}, state("error", told(error))));
    }
  }

  private sensor(asset: string, one: Sensor): HTMLElement {
    const last = one.last;
    return h(
      "button",
      { class: "sensor", click: () => this.pick(asset, one) },
      name(one.sensor_name),
      h("span", { class: "soft" }, last ? `${last.text ?? value(last.value)} ${last.unit ?? ""} · ${age(last.age_seconds)} ago` : "—"),
    );
  }
}
