// The tab Pipeline: the street from Kafka to the files as it is now, and what can be done about it.

import { call, told, type Health, type Stats } from "./api";
import { fill, h, state, type Child } from "./dom";
import { age, bytes, count } from "./words";

const AGAIN_MS = 2_000;

export class Pipeline {
  private readonly body = h("div");
  private readonly outcome = h("p", { class: "note", role: "status" });
  private readonly flush = h("button", { click: () => void this.flushNow() }, "Flush: every reading into its hour file now");
  readonly element = h("section", { class: "main" }, this.body, h("div", { class: "tools" }, this.flush), this.outcome);
  private before: { time: number; readings: number } | null = null;
  private timer = 0;

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

  private async flushNow(): Promise<void> {
    this.flush.disabled = true;
    fill(this.outcome, "Flushing …");
    try {
      const done = await call<{ rows?: number; hour_files?: number; state?: string }>("storage/flush", [], { method: "POST" });
      fill(this.outcome, done.state === "running" ? "It still runs; the numbers above tell when it is done." : `${count(done.rows ?? 0)} readings put in place, ${count(done.hour_files ?? 0)} hour files written.`);
    } catch (error) {
      fill(this.outcome, state("error", told(error)));
    }
    this.flush.disabled = false;
  }

  private draw(health: Health, stats: Stats): void {
    const { counts } = stats;
    const now = Date.parse(stats.time) / 1000;
    const received = counts.received_readings ?? 0;
    const rate = this.before && now > this.before.time ? (received - this.before.readings) / (now - this.before.time) : 0;
    if (!this.before || now - this.before.time > 6) this.before = { time: now, readings: received };
    const waits = stats.oldest_waiting ? `oldest ${age(now - Date.parse(stats.oldest_waiting) / 1000)}` : "nothing waits";
    const free = stats.disk.size_bytes ? stats.disk.free_bytes / stats.disk.size_bytes : 0;
    const number = (key: string): string => count(counts[key] ?? 0);
    const size = (key: string): string => bytes(stats.size_bytes[key] ?? 0);
    fill(
      this.body,
      h("h2", {}, "The street"),
      h(
        "ol",
        { class: "street" },
        box("Kafka", `lag ${count(health.lamp.lag_messages)}`, "messages wait"),
        box("Decode", `${count(rate)} readings/s`, `${number("received_messages")} messages`),
        box("Dead letters", number("dead_letters"), `${number("empty_messages")} empty · ${number("gaps")} gaps`),
        box("Staging", `${number("waiting_readings")} readings`, `${number("staged_files")} files · ${size("staging")} · ${waits}`),
        box("Hour files", number("hour_files"), size("raw")),
        box("Aggregates", number("aggregate_files"), `${number("due_aggregates")} sensor-hours due · ${size("aggregated")}`),
        box("Disk", `${(free * 100).toFixed(0)} % free`, `${bytes(stats.disk.free_bytes)} of ${bytes(stats.disk.size_bytes)}`),
      ),
      h("h2", {}, "What is amiss"),
      health.reasons.length
        ? h("ul", { class: "reasons" }, ...health.reasons.map((one) => h("li", {}, h("strong", {}, `${one.worker}: ${one.what}`), h("br"), one.hint)))
        : h("p", {}, "Nothing."),
      h("h2", {}, "Workers"),
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ...["worker", "process", "reported", "lag", "state"].map((head) => (head ? h("th", { scope: "col" }, head) : h("td", {}))))),
        h("tbody", {}, ...stats.workers.map((one) => h("tr", {}, ...[one.name, String(one.pid), `${age(one.age_seconds)} ago`, one.lag_messages === null ? "—" : count(one.lag_messages), one.halted || one.paused || one.error || (one.fresh ? "works" : "silent")].map((cell) => h("td", {}, cell))))),
      ),
    );
  }
}

function box(title: string, figure: Child, more: string): HTMLElement {
  return h("li", {}, h("span", { class: "soft" }, title), h("strong", {}, figure), h("span", { class: "soft" }, more));
}
