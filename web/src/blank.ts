// What the page says where nothing is stored yet: how far Kafka is, and a line to try.

import { call, type Stats } from "./api";
import { fill, h, state } from "./dom";

const TRY = `echo '{"asset_id":"press-1","sensor_name":"temperature","value":21.5,"unit":"°C"}' | \\
  kafka-console-producer.sh --bootstrap-server localhost:9092 --topic sensor-data-test`;

export function nothingStored(): HTMLElement {
  const more = h("div");
  void call<Stats>("storage/stats")
    .then(({ workers }) => {
      const ingest = workers.find((one) => one.role === "ingest");
      if (!ingest) fill(more, h("p", {}, "No ingest worker has reported: the service reads nothing at the moment."));
      else if (ingest.error) fill(more, h("p", {}, `Kafka does not answer: ${ingest.error}`));
      else fill(more, h("p", {}, `Kafka answers. ${ingest.topics ?? 0} topics match `, h("code", {}, ingest.pattern), ". A message to try:"), h("pre", { tabindex: 0 }, TRY));
    })
    .catch(() => fill(more));
  return h("div", { class: "blank" }, state("empty", "Nothing is stored yet."), more);
}
