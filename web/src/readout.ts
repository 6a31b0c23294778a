// The table below the chart: what each pen read at last and at the cursors, and the statistics of the visible range.

import { fill, h, name, table } from "./dom";
import { save } from "./exports";
import type { Pen, View } from "./link";
import { textAt, valueAt, type Line } from "./series";
import { age, count, share, value } from "./words";

const LAST = [">last", ">age"];
const CURSORS = [">A", ">B", ">Δ"];
const STATISTICS = [">min", ">max", ">mean", ">mean*", ">deviation", ">readings", ">good"];

export class Readout {
  readonly element = h("div", { class: "scroll readout", tabindex: 0, role: "group", "aria-label": "Numbers of the chart" });

  constructor(
    private readonly view: View,
    private readonly failed: (error: unknown) => void,
  ) {}

  show(lines: (Line | undefined)[]): void {
    const { pens, marks } = this.view;
    if (!pens.length || !lines.length) return fill(this.element);
    const marked = marks.A !== undefined || marks.B !== undefined;
    const heads = ["pen", ...LAST, ...(marked ? CURSORS : []), ...STATISTICS, ""];
    const rows = pens.map((pen, index) => this.row(pen, lines[index], marked));
    if (this.element.contains(document.activeElement) && document.activeElement !== this.element && this.refresh(rows, heads)) return;
    const apart = marks.A !== undefined && marks.B !== undefined ? `B − A = ${age(marks.B - marks.A)}. ` : "";
    fill(this.element, table(heads, rows, `${apart}mean*: weighted by how long each value held. Keys A and B set cursors; a press on a point tells where it came from.`));
  }

  private row(pen: Pen, line: Line | undefined, marked: boolean): HTMLElement {
    const told = line?.statistics;
    const whole = told && !line?.thinned;
    const last = line?.last;
    const cells = [
      last ? value(last.value, last.text) : "—",
      last ? age(Date.now() / 1000 - last.time) : "—",
      ...(marked ? this.cursors(line) : []),
      ...[told?.min, told?.max, told?.mean, told?.weighted, told?.deviation].map((one) => value(one)),
      whole ? count(told.count || (line?.readings ?? 0)) : "—",
      share(told?.good),
    ];
    const file = (format: string): HTMLElement => h("button", { click: () => void save(this.view, pen, format, this.failed) }, format === "csv" ? "CSV" : "Parquet");
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("span", { class: `swatch colour${pen.colour}`, "aria-hidden": "true" }), name(pen.asset, 28), " / ", name(pen.sensor, 28), line?.unit ? h("span", { class: "soft" }, ` ${line.unit.slice(0, 20)}`) : null),
      ...cells.map((cell) => h("td", { class: "number" }, cell)),
      h("td", { class: "acts" }, file("parquet"), file("csv")),
    );
  }

  private cursors(line: Line | undefined): string[] {
    const { A, B } = this.view.marks;
    const at = (time: number | undefined): number | null => (line && time !== undefined ? valueAt(line, time) : null);
    const words = (time: number | undefined): string => value(at(time), line && time !== undefined ? textAt(line, time) : null);
    const [a, b] = [at(A), at(B)];
    return [words(A), words(B), value(a !== null && b !== null ? b - a : null)];
  }

  /** Numbers alone, so that whoever is on a button of the table stays there; false where the table is another. */
  private refresh(rows: HTMLElement[], heads: string[]): boolean {
    const old = [...this.element.querySelectorAll("tbody tr")];
    if (old.length !== rows.length || this.element.querySelectorAll("thead tr > *").length !== heads.length) return false;
    const numbers = (row: Element): Element[] => [...row.querySelectorAll("td.number")];
    rows.forEach((row, index) => {
      const cells = numbers(old[index] as Element);
      numbers(row).forEach((cell, place) => fill(cells[place] as Element, cell.textContent));
    });
    return true;
  }
}
