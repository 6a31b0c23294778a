// The table below the chart: what each pen reads at the cursors, and the statistics of the visible range.

import { fill, h, name, table } from "./dom";
import { save } from "./exports";
import type { Pen, View } from "./link";
import { valueAt, type Line } from "./series";
import { age, count, moment, share, value } from "./words";

export interface Acts {
  changed(): void;
  failed(error: unknown): void;
}

const HEADS = ["pen", ">cursor", ">A", ">B", ">Δ", ">min", ">max", ">mean", ">time-weighted mean", ">deviation", ">readings", ">good", ""];

export class Readout {
  readonly element = h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Numbers of the chart" });

  constructor(
    private readonly view: View,
    private readonly acts: Acts,
  ) {}

  show(lines: (Line | undefined)[], at: number | null): void {
    const { pens, marks, zone } = this.view;
    if (!pens.length) return fill(this.element);
    const rows = pens.map((pen, index) => this.row(pen, index, lines[index], at));
    const apart = marks.A !== undefined && marks.B !== undefined ? `B − A = ${age(marks.B - marks.A)}. ` : "";
    const cursor = at === null ? "Keys A and B set cursors; a press on a point tells where it came from." : `Cursor at ${moment(at, zone)}`;
    if (this.element.contains(document.activeElement) && document.activeElement !== this.element) return this.refresh(rows);
    fill(this.element, table(HEADS, rows, apart + cursor));
  }

  private row(pen: Pen, index: number, line: Line | undefined, at: number | null): HTMLElement {
    const { A, B } = this.view.marks;
    const of = (time: number | null | undefined): number | null => (line && typeof time === "number" ? valueAt(line, time) : null);
    const [a, b] = [of(A), of(B)];
    const told = line?.statistics;
    const cells = [of(at), a, b, a !== null && b !== null ? b - a : null, told?.min, told?.max, told?.mean, told?.weighted, told?.deviation].map(value);
    const whole = told && !line?.thinned;
    const act = (change: () => void): (() => void) => () => (change(), this.acts.changed());
    const file = (format: string): HTMLElement => h("button", { click: () => void save(this.view, pen, format, this.acts.failed) }, format === "csv" ? "CSV" : "Parquet");
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("span", { class: `swatch colour${index}`, "aria-hidden": "true" }), name(pen.asset, 28), " / ", name(pen.sensor, 28), line?.unit ? h("span", { class: "soft" }, ` ${line.unit.slice(0, 20)}`) : null),
      ...[...cells, whole ? count(told.count || (line?.readings ?? 0)) : "—", share(told?.good)].map((cell) => h("td", { class: "number" }, cell)),
      h(
        "td",
        { class: "acts" },
        h("button", { click: act(() => (pen.step = !pen.step)), "aria-pressed": String(pen.step), title: "Draw as steps: a value holds till the next" }, "Steps"),
        h("button", { click: act(() => (pen.own = !pen.own)), "aria-pressed": String(pen.own), title: "On a lane with a scale of its own" }, "Own lane"),
        file("csv"),
        file("parquet"),
        h("button", { click: act(() => this.view.pens.splice(index, 1)), "aria-label": `Remove ${pen.asset} ${pen.sensor}` }, "✕"),
      ),
    );
  }

  /** Numbers alone, so that whoever is on a button of the table stays there. */
  private refresh(rows: HTMLElement[]): void {
    const old = this.element.querySelectorAll("tbody tr");
    if (old.length !== rows.length) return fill(this.element, table(HEADS, rows));
    rows.forEach((row, index) => {
      const cells = old[index]?.querySelectorAll("td:not(.acts)") ?? [];
      row.querySelectorAll("td:not(.acts)").forEach((cell, place) => fill(cells[place] as Element, cell.textContent));
    });
  }
}
