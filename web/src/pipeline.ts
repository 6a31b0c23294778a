// The tab Pipeline: the street from Kafka to cleanup as it is now, what is amiss, and what can be done about it.

import { call, order, told, type Cleaned, type Health, type Stats } from "./api";
import { fill, h, spark, state, table, type Child } from "./dom";
import { age, bytes, count } from "./words";

const AGAIN_MS = 2_000;
const KEPT_RATES = 60;
const RATE_SECONDS = 4;

export class Pipeline {
  private readonly body = h("div");
  private readonly outcome = h("div", { class: "outcome", "aria-live": "polite" });
  private readonly buttons = h("div", { class: "tools" });
  readonly element = h("section", { class: "main" }, this.body, h("h2", {}, "Do it now"), h("p", { class: "soft" }, "Each of these happens by itself in its time; whoever has the admin key may have it now."), this.buttons, this.outcome);
  private readonly counted: [number, number][] = [];
  private readonly rates: [number, number][] = [];
  private timer = 0;

  constructor() {
    this.buttons.append(
      this.button("Flush", "Every reading into its hour file", () => this.flush()),
      this.button("Upload", "What has changed to the cold store, open hours too", () => this.upload()),
      this.button("Cleanup …", "First a list of what would leave this disk, and why", () => this.cleanup(true)),
    );
  }

  show(): void {
    if (!this.body.childElementCount) fill(this.body, state("loading", "Loading the pipeline …"));
    void this.load();
  }

  hide(): void {
    clearTimeout(this.timer);
  }

  private async load(): Promise<void> {
    clearTimeout(this.timer);
    try {
      const [health, stats] = await Promise.all([call<Health>("health"), call<Stats>("storage/stats")]);
      this.draw(health, stats);
    } catch (error) {
      fill(this.body, state("error", told(error)));
    }
    this.timer = window.setTimeout(() => void this.load(), AGAIN_MS);
  }

  private button(label: string, title: string, act: () => Promise<void>): HTMLButtonElement {
    const button: HTMLButtonElement = h("button", { title, click: () => void this.work(button, label, act) }, label);
    return button;
  }

  private async work(button: HTMLButtonElement, label: string, act: () => Promise<void>): Promise<void> {
    button.disabled = true;
    fill(this.outcome, state("loading", `${label.replace(" …", "")} runs …`));
    try {
      await act();
    } catch (error) {
      fill(this.outcome, state("error", told(error)));
    }
    button.disabled = false;
  }

  private async flush(): Promise<void> {
    const done = await order<{ rows: number; hour_files: number }>("storage/flush");
    fill(this.outcome, h("p", {}, `Flushed: ${count(done.rows)} readings put in place, ${count(done.hour_files)} hour files written.`));
  }

  private async upload(): Promise<void> {
    const done = await order<{ uploaded: number; unchanged: number; failed: number; waiting: number; bytes: number }>("upload/trigger");
    const failed = done.failed ? ` ${count(done.failed)} failed and are tried again.` : "";
    fill(this.outcome, h("p", {}, `Uploaded: ${count(done.uploaded)} files with ${bytes(done.bytes)}, ${count(done.unchanged)} were there already.${failed} ${count(done.waiting)} wait.`));
  }

  private async cleanup(dry: boolean): Promise<void> {
    const done = await order<Cleaned>("cleanup/trigger", [["dry_run", dry]]);
    const kept = Object.entries(done.kept).map(([why, files]) => `${count(files)} ${why}`).join(", ");
    const rows = done.files.map((one) => h("tr", {}, h("td", {}, one.goes ? (dry ? "would go" : "gone") : "stays"), h("td", {}, h("code", {}, one.file)), h("td", {}, one.because)));
    const now = this.button(`Remove these ${count(done.removed)} files now`, "Each is proven once more at that moment", () => this.cleanup(false));
    fill(
      this.outcome,
      h("p", {}, `${dry ? "Cleanup would remove" : "Cleanup removed"} ${count(done.removed)} files with ${bytes(done.removed_bytes)}; all are proven to be in the cold store.${kept ? ` Kept: ${kept}.` : ""}`),
      dry && done.removed > 0 && now,
      rows.length > 0 && h("div", { class: "scroll list", tabindex: 0, role: "group", "aria-label": "Files and reasons" }, table(["", "file", "because"], rows)),
    );
  }

  private draw(health: Health, stats: Stats): void {
    const { counts, cold } = stats;
    const now = Date.parse(stats.time) / 1000;
    const since = (time: string | null): number => (time ? now - Date.parse(time) / 1000 : 0);
    const rate = this.rate(now, counts.received_readings ?? 0);
    const free = stats.disk.size_bytes ? stats.disk.free_bytes / stats.disk.size_bytes : 0;
    const number = (key: string): string => count(counts[key] ?? 0);
    const size = (key: string): string => bytes(stats.size_bytes[key] ?? 0);
    const latency = stats.workers.map((one) => one.lag_seconds).filter((one) => one !== null);
    const waits = stats.oldest_waiting ? `oldest for ${age(since(stats.oldest_waiting))}` : "nothing waits";
    const unsafe = cold?.oldest_waiting_hour ? `oldest unsafe reading ${age(since(cold.oldest_waiting_hour))}` : "all of it is safe";
    const amiss = (worker: RegExp): string => health.reasons.find((one) => worker.test(one.worker))?.state ?? "";
    fill(
      this.body,
      h("h2", {}, "The street"),
      h(
        "ol",
        { class: "street" },
        box("Kafka", `lag ${count(health.lamp.lag_messages)}`, latency.length ? `newest message ${Math.max(...latency).toFixed(1)} s old` : "messages wait", amiss(/^ingest/)),
        box("Decode", `${count(rate)} /s`, `${number("received_messages")} messages`, "", spark(this.rates, 130, 24)),
        box("Dead letters", number("dead_letters"), `${number("empty_messages")} empty · ${number("gaps")} gaps`, counts.gaps ? "degraded" : ""),
        box("Staging", number("waiting_readings"), `readings in ${number("staged_files")} segments · ${size("staging")} · ${waits}`),
        box("Hour files", number("hour_files"), size("raw"), amiss(/^maintain/)),
        box("Aggregates", number("aggregate_files"), `${number("due_aggregates")} sensor-hours due · ${number("mended_aggregates")} mended after late readings · ${size("aggregated")}`),
        cold && box("Upload", count(cold.sealed_waiting_files), `files wait, ${count(cold.waiting_files)} with open hours · ${count(cold.uploaded_files)} uploaded and proven since the start · ${unsafe}`, cold.away || cold.failing_files ? "degraded" : ""),
        cold && box("Cleanup", count(cold.removed_files), `files gone since the start · ${bytes(cold.removed_bytes)} made free`),
        box("Disk", `${(free * 100).toFixed(0)} % free`, `${bytes(stats.disk.free_bytes)} of ${bytes(stats.disk.size_bytes)}`, free < 0.1 ? "degraded" : ""),
      ),
      cold ? null : h("p", { class: "soft" }, "There is no cold store: nothing is uploaded, so nothing ever leaves this disk."),
      h("h2", {}, "What is amiss"),
      health.reasons.length
        ? h("ul", { class: "reasons" }, ...health.reasons.map((one) => h("li", { class: one.state }, h("strong", {}, `${one.worker}: ${one.what}`), h("span", {}, `Remedy: ${one.hint}`))))
        : h("p", { class: "fine" }, "Nothing."),
      h("h2", {}, "Workers"),
      h(
        "div",
        { class: "scroll", tabindex: 0, role: "group", "aria-label": "Workers" },
        table(
          ["worker", "process", "reported", "lag", "state"],
          stats.workers.map((one) =>
            h("tr", {}, ...[one.name, one.pid ? String(one.pid) : "—", one.age_seconds === null ? "—" : `${age(one.age_seconds)} ago`, one.lag_messages === null ? "—" : count(one.lag_messages), one.halted || one.paused || one.error || (one.fresh ? "works" : "silent")].map((cell) => h("td", {}, cell))),
          ),
        ),
      ),
    );
  }

  /** Readings a second over the last seconds. */
  private rate(now: number, received: number): number {
    this.counted.push([now, received]);
    while (this.counted.length > 2 && now - (this.counted[0]?.[0] ?? 0) > RATE_SECONDS + 2) this.counted.shift();
    const [then, before] = this.counted[0] ?? [now, received];
    const rate = now > then ? (received - before) / (now - then) : 0;
    if (now > then) this.rates.push([now, rate]);
    if (this.rates.length > KEPT_RATES) this.rates.shift();
    return rate;
  }
}

function box(title: string, figure: string, more: string, state = "", picture: Child = null): HTMLElement {
  return h("li", { class: state }, h("span", { class: "soft" }, title, state ? " ⚠" : ""), h("strong", {}, figure), picture, h("span", { class: "soft" }, more));
}
