// Builds the console's own files: node build.mjs OUTPUT. Same sources, same bytes: names hold a digest of the content.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const output = process.argv[2];
if (!output) throw new Error("usage: node build.mjs OUTPUT");

const built = await esbuild.build({
  absWorkingDir: here,
  entryPoints: ["src/console.js", "src/editor.js", "src/passkeys.js", "src/service-worker.js", "src/console.css"],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome109", "firefox115", "safari16"],
  legalComments: "none",
  charset: "utf8",
  write: false,
  outdir: "out",
  logLevel: "error",
});

const files = new Map(built.outputFiles.map((file) => [basename(file.path), Buffer.from(file.contents)]));
for (const name of readdirSync(join(here, "src")).sort()) {
  if ([".svg", ".png", ".txt"].includes(extname(name))) files.set(name, readFileSync(join(here, "src", name)));
}
files.set("licences.txt", licences());

rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });
const names = {};
for (const [name, content] of [...files].sort(([one], [other]) => (one < other ? -1 : 1))) {
  const digest = createHash("sha256").update(content).digest("hex").slice(0, 16);
  const ending = extname(name);
  names[name] = `${basename(name, ending)}-${digest}${ending}`;
  writeFileSync(join(output, names[name]), content);
}
writeFileSync(join(output, "assets.json"), `${JSON.stringify(names, null, 1)}\n`);

// The licence of every package whose code is in the bundle.
function licences() {
  const lock = JSON.parse(readFileSync(join(here, "package-lock.json"), "utf8"));
  const texts = [];
  for (const [place, entry] of Object.entries(lock.packages).sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (!place || entry.dev || entry.optional) continue;
    const folder = join(here, place);
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
    const text = file ? readFileSync(join(folder, file), "utf8").trim() : entry.license;
    texts.push(`${place.replace(/^node_modules\//, "")} ${entry.version}\n\n${text}\n`);
  }
  return Buffer.from(texts.join(`\n${"-".repeat(72)}\n\n`));
}
