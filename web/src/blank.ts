// What the page says where nothing is stored yet: how far Kafka is, and a line to try.

import { call, type Stats } from "./api";
import { fill, h, name, state } from "./dom";

const TRY = `echo '{"asset_id":"press-1","sensor_name":"temperature","value":21.5,"unit":"°C"}' | \\
  kafka-console-producer.sh --bootstrap-server localhost:9092 --topic sensor-data-test`;

export function nothingStored(): HTMLElement {
  const more = h("div");
  void call<Stats>("storage/stats")
    .then(({ workers }) => fill(more, ...explained(workers.find((one) => one.role === "ingest"))))
    .catch(() => fill(more));
  return h("div", { class: "blank" }, state("empty", "Nothing is stored yet."), more);
}

function explained(ingest: Stats["workers"][number] | undefined): HTMLElement[] {
  if (!ingest) return [h("p", {}, "No ingest worker has reported: the service reads nothing at the moment.")];
  if (ingest.error) return [h("p", {}, `Kafka does not answer: ${ingest.error}`)];
  const topics = ingest.topics ?? 0;
  const seen = ingest.other_topics.map((one) => h("li", {}, h("code", {}, name(one, 120))));
  return [
    h("p", {}, `Broker reachable. ${topics} ${topics === 1 ? "topic matches" : "topics match"} `, h("code", {}, ingest.pattern), "."),
    ...(topics ? [] : [seen.length ? h("p", {}, "Topics seen:") : h("p", {}, "The broker has no topic at all."), h("ul", { class: "seen" }, ...seen)]),
    h("p", {}, topics ? "Readings show up here as they come. One to try:" : "KAFKA_TOPIC_PATTERN says which are read. A reading to try, to a topic that the default takes:"),
    h("pre", { tabindex: 0 }, TRY),
  ];
}
