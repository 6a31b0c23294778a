// The strip below the chart: the first pen's longer past and the window in it; drag to choose another.

import { ask } from "./api";
import { h, svg } from "./dom";
import type { View } from "./link";
import { line, type Line } from "./series";

const HEIGHT = 44;
const WIDER = 8;
const POINTS = 1_000;
const FRESH_MS = 30_000;

export class Strip {
  readonly element = h("div", { class: "strip", "aria-hidden": "true" });
  private shown = "";
  private at = 0;
  private line: Line | null = null;
  private from = 0;
  private to = 1;
  private asking: AbortController | null = null;
  private down: number | null = null;

  constructor(
    private readonly view: View,
    private readonly choose: (from: number, to: number) => void,
  ) {
    this.element.addEventListener("pointerdown", (event) => {
      this.element.setPointerCapture(event.pointerId);
      this.down = this.time(event);
    });
    this.element.addEventListener("pointermove", (event) => this.down !== null && this.draw(this.down, this.time(event)));
    this.element.addEventListener("pointerup", (event) => {
      if (this.down === null) return;
      const [a, b] = [this.down, this.time(event)];
      this.down = null;
      const length = this.view.to - this.view.from;
      if (Math.abs(a - b) < (this.to - this.from) / 200) this.choose(b - length / 2, b + length / 2);
      else this.choose(Math.min(a, b), Math.max(a, b));
    });
  }

  clear(): void {
    this.asking?.abort();
    this.shown = "";
    this.element.replaceChildren();
  }

  /** Around the window, so wide that it has a past; asked for again only when that is another. */
  async show(now: number): Promise<void> {
    const { from, to, pens, zone } = this.view;
    const pen = pens[0];
    if (!pen) return this.clear();
    const length = to - from;
    const inside = this.from <= from && to <= this.to && length * 3 < this.to - this.from && length * WIDER * 3 > this.to - this.from;
    const shown = JSON.stringify([pen.asset, pen.sensor, zone]);
    if (shown === this.shown && inside && performance.now() - this.at < FRESH_MS) return this.draw(from, to);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const end = Math.max(to, Math.min(now, to + (length * WIDER) / 2));
    try {
      const answer = await ask(pen.asset, pen.sensor, end - length * WIDER, end, zone, "auto", POINTS, asking.signal);
      if (asking.signal.aborted) return;
      this.line = line(answer, null, 5);
      [this.from, this.to, this.shown, this.at] = [end - length * WIDER, end, shown, performance.now()];
      this.draw(this.view.from, this.view.to);
    } catch {
      if (!asking.signal.aborted) this.clear(); // the chart tells what went wrong
    }
  }

  private time(event: PointerEvent): number {
    const box = this.element.getBoundingClientRect();
    return this.from + ((event.clientX - box.left) / box.width) * (this.to - this.from);
  }

  private draw(a: number, b: number): void {
    if (!this.line) return;
    const width = this.element.clientWidth || 600;
    const x = (time: number): number => ((time - this.from) / (this.to - this.from)) * width;
    const { times, mean, min, max } = this.line;
    const lows = min.length ? min : mean;
    const highs = max.length ? max : mean;
    const values = [...lows, ...highs].filter((one): one is number => one !== null);
    const [low, high] = [values.reduce((m, one) => Math.min(m, one), Infinity), values.reduce((m, one) => Math.max(m, one), -Infinity)];
    const y = (value: number): number => HEIGHT - 3 - ((value - low) / (high - low || 1)) * (HEIGHT - 6);
    let path = "";
    times.forEach((time, index) => {
      const [least, most] = [lows[index], highs[index]];
      if (least === null || least === undefined || most === null || most === undefined) return;
      path += `M${x(time).toFixed(1)} ${(y(least) + 0.6).toFixed(1)}V${(y(most) - 0.6).toFixed(1)}`;
    });
    const [left, right] = [x(Math.min(a, b)), x(Math.max(a, b))];
    this.element.replaceChildren(
      svg("svg", { width, height: HEIGHT }, svg("path", { d: path, stroke: `var(--c${this.view.pens[0]?.colour ?? 0})` }), svg("rect", { x: left.toFixed(1), y: 0.5, width: Math.max(2, right - left).toFixed(1), height: HEIGHT - 1 })),
    );
  }
}
