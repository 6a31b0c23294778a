// One file of the tree: schema, rows, offsets, digest, receipt, and the file itself.

import { call, fetchFile, told, type Parameters, type StoredFile } from "./api";
import { download, facts, fill, h, state } from "./dom";
import { bytes, count, moment } from "./words";

export async function showFile(into: HTMLElement, asset: string, sensor: string, time: string, zone: string, level = "raw"): Promise<void> {
  fill(into, state("loading", "Opening the file …"));
  const which: Parameters = [
    ["asset", asset],
    ["sensor", sensor],
    ["time", time],
    ["level", level],
  ];
  try {
    const file = await call<StoredFile>("files", which);
    const { receipt } = file;
    const save = async (): Promise<void> => {
      try {
        download(await fetchFile("files/content", which), file.file.replace(/\//g, "_"));
      } catch (error) {
        into.append(state("error", told(error)));
      }
    };
    fill(
      into,
      h(
        "div",
        { class: "card" },
        facts(
          ["file", h("code", {}, file.file)],
          ["where", file.here ? (receipt ? "on this disk and in the cold store" : "on this disk") : "in the cold store alone; read from there"],
          ["readings", `${count(file.rows)} in ${bytes(file.size_bytes)}, ${(file.size_bytes / Math.max(1, file.rows)).toFixed(1)} bytes each`],
          ["digest", h("code", {}, file.digest)],
          ["offsets", file.sources.length ? h("ul", {}, ...file.sources.map((one) => h("li", {}, one))) : null],
          ["receipt", receipt ? `uploaded ${moment(Date.parse(receipt.uploaded) / 1000, zone)}, ETag ${receipt.etag}, ${count(receipt.rows)} readings, ${bytes(receipt.size_bytes)}` : "none: the cold store has not proven to have this content"],
          ["columns", h("details", {}, h("summary", {}, `${Object.keys(file.columns).length} columns`), h("ul", {}, ...Object.entries(file.columns).map(([column, type]) => h("li", {}, h("code", {}, column), ` ${type}`))))],
        ),
        h("button", { click: () => void save() }, "Download this Parquet file"),
      ),
    );
  } catch (error) {
    fill(into, state("error", told(error)));
  }
}
