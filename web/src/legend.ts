// The pens above the chart, each with what it reads at the cursor, or at last.

import { fill, h, name } from "./dom";
import type { View } from "./link";
import { penMenu } from "./pens";
import { textAt, valueAt, type Line } from "./series";
import { moment, value } from "./words";

export class Legend {
  private readonly pens = h("ul", { class: "pens" });
  private readonly time = h("span", { class: "soft when" });
  readonly element = h("div", { class: "legend-bar" }, this.pens, this.time);
  private readings: HTMLElement[] = [];
  private shown = "";

  constructor(
    private readonly view: View,
    private readonly changed: () => void,
    private readonly say: (words: string) => void,
  ) {}

  /** Pens anew where they are others than before, so that an open menu stays open; values come with `read`. */
  show(): void {
    const shown = JSON.stringify(this.view.pens);
    if (shown === this.shown) return;
    this.shown = shown;
    this.readings = this.view.pens.map(() => h("b", {}));
    const items = this.view.pens.map((pen, index) => {
      const remove = (): void => (this.view.pens.splice(index, 1), this.changed());
      const title = `Take ${pen.asset} ${pen.sensor} off the chart`;
      return h(
        "li",
        {},
        penMenu(pen, this.changed, this.say),
        h("span", { class: "names" }, name(pen.asset, 24), " / ", name(pen.sensor, 24)),
        this.readings[index] ?? null,
        h("button", { class: "plain", click: remove, title, "aria-label": title }, "✕"),
      );
    });
    fill(this.pens, ...items);
  }

  read(lines: (Line | undefined)[], at: number | null): void {
    fill(this.time, at === null ? "" : moment(at, this.view.zone));
    this.readings.forEach((cell, index) => {
      const line = lines[index];
      if (line) fill(cell, at === null ? last(line) : value(valueAt(line, at), textAt(line, at)), at === null && !line.last ? "" : ` ${(line.unit ?? "").slice(0, 20)}`);
      else fill(cell);
    });
  }
}

const last = (line: Line): string => (line.last ? value(line.last.value, line.last.text) : "—");
