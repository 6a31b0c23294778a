// Builds the page into the Python package. sources.json says of which sources; a test holds it.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const OUT = "../src/sensor_storage/page";
mkdirSync(OUT, { recursive: true });
await build({
  entryPoints: { app: "src/main.ts" },
  outdir: OUT,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  logLevel: "warning",
});
for (const name of ["index.html", "icon.svg"]) copyFileSync(`src/${name}`, `${OUT}/${name}`);
const sources = [
  "build.mjs",
  "package-lock.json",
  ...readdirSync("src")
    .sort()
    .map((name) => `src/${name}`),
];
const digest = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");
const digests = Object.fromEntries(sources.map((path) => [path, digest(path)]));
writeFileSync(`${OUT}/sources.json`, `${JSON.stringify(digests, null, 1)}\n`);
