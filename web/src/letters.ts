// Dead letters: reason and payload of each, and another try after a fix.

import { call, order, told, type Letter, type Replayed } from "./api";
import { facts, fill, h, name, state, table } from "./dom";
import { bytes, count, moment } from "./words";

const PAGE = 25;

export class Letters {
  private readonly reason = h("select", { id: "reason", "aria-label": "Reason", change: () => void this.load() }, h("option", { value: "" }, "any reason"));
  private readonly list = h("div", { class: "scroll letters", tabindex: 0, role: "group", "aria-label": "Dead letters" });
  private readonly more = h("button", { hidden: true, click: () => void this.load(this.next) }, "Older ones");
  private readonly outcome = h("div", { "aria-live": "polite" });
  readonly element: HTMLElement;
  private letters: Letter[] = [];
  private next: string | null = null;

  constructor(private readonly zone: () => string) {
    const again = h("button", { click: () => void this.replay(true) }, "Try them again …");
    this.element = h(
      "div",
      {},
      h("p", { class: "soft" }, "Messages that could not become readings are kept whole. After a fix of the settings they can become readings."),
      h("div", { class: "tools" }, this.reason, again),
      this.outcome,
      this.list,
      this.more,
    );
  }

  async load(after: string | null = null): Promise<void> {
    if (after === null && !this.letters.length) fill(this.list, state("loading", "Loading dead letters …"));
    try {
      const page = await call<{ dead_letters: Letter[]; damaged: string[]; next: string | null }>("dead-letters", [
        ["limit", PAGE],
        ...(this.reason.value ? [["reason", this.reason.value] as [string, string]] : []),
        ...(after === null ? [] : [["after", after] as [string, string]]),
      ]);
      this.letters = after === null ? page.dead_letters : [...this.letters, ...page.dead_letters];
      this.next = page.next;
      this.draw(page.damaged);
    } catch (error) {
      fill(this.list, state("error", told(error)));
    }
  }

  private draw(damaged: string[]): void {
    this.more.hidden = this.next === null;
    const known = new Set([...this.reason.options].map((one) => one.value));
    for (const one of this.letters) if (!known.has(one.reason)) (known.add(one.reason), this.reason.append(h("option", { value: one.reason }, one.reason)));
    if (!this.letters.length) return fill(this.list, state("empty", "No dead letters."));
    const rows = this.letters.map((one) =>
      h(
        "tr",
        {},
        h("td", {}, moment(Date.parse(one.kafka_timestamp) / 1000, this.zone())),
        h("td", {}, h("code", {}, `${one.kafka_topic}/${one.kafka_partition}@${one.kafka_offset}`)),
        h("td", {}, one.reason, one.replayed ? h("span", { class: "soft" }, " (readings now)") : null),
        h("td", { class: "wide" }, one.error),
        h("td", { class: "wide" }, payload(one)),
      ),
    );
    fill(this.list, ...damaged.map((one) => state("error", one)), table(["received", "message", "reason", "error", "payload"], rows));
  }

  private async replay(dry: boolean): Promise<void> {
    fill(this.outcome, state("loading", dry ? "Looking what would become of them …" : "Decoding them again …"));
    try {
      const done = await order<Replayed>("dead-letters/replay", [["dry_run", dry], ...(this.reason.value ? [["reason", this.reason.value] as [string, string]] : [])]);
      const words = `${count(done.replayed)} of ${count(done.letters)} dead letters ${dry ? "would become" : "became"} ${count(done.readings)} readings; ${count(done.already)} had before, ${count(done.unreadable)} are still unreadable.`;
      fill(this.outcome, h("p", {}, words, " ", dry && done.replayed > 0 && h("button", { click: () => void this.replay(false) }, "Make them readings now")));
      if (!dry) await this.load();
    } catch (error) {
      fill(this.outcome, state("error", told(error)));
    }
  }
}

function payload(one: Letter): HTMLElement {
  const text = one.value ?? one.value_base64 ?? "";
  const binary = one.value === null && one.value_base64 !== null;
  const key = one.key ?? one.key_base64;
  const whole = async (event: Event): Promise<void> => {
    const box = event.currentTarget as HTMLDetailsElement;
    if (!box.open || (one.value_bytes ?? 0) <= text.length) return;
    const page = await call<{ dead_letters: Letter[] }>("dead-letters", [["topic", one.kafka_topic], ["partition", one.kafka_partition], ["offset", one.kafka_offset], ["whole", true]]);
    const found = page.dead_letters[0];
    const pre = box.querySelector("pre");
    if (found && pre) fill(pre, pretty(found.value ?? found.value_base64 ?? ""));
  };
  return h(
    "details",
    { toggle: (event: Event) => void whole(event).catch(() => undefined) },
    h("summary", {}, one.value_bytes === null ? "no value" : name(text, 40), h("span", { class: "soft" }, one.value_bytes === null ? "" : ` ${bytes(one.value_bytes)}${binary ? ", as base64" : ""}`)),
    h("pre", { tabindex: 0 }, pretty(text)),
    facts(["key", key === null ? null : name(key, 200)], ...one.headers.map((header): [string, HTMLElement] => [`header ${header.name.slice(0, 60)}`, name(header.value ?? header.value_base64 ?? "none", 200)])),
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
