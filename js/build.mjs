// Build the widget's two files into the package; `--check` compares them with those that are there instead.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { gzip } from "pako";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = fileURLToPath(new URL("../ipyproc/widget/static/", import.meta.url));

const shared = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  minify: true,
  legalComments: "none",
  loader: { ".css": "text" },
  write: false,
  logLevel: "warning",
};

async function bundled(entry) {
  const result = await build({ ...shared, entryPoints: [entry], metafile: true });
  return { code: Buffer.from(result.outputFiles[0].contents), inputs: Object.keys(result.metafile.inputs) };
}

/** The licences of the packages that the bundle contains, in the order of their names. */
function licences(inputs) {
  const names = new Set();
  for (const input of inputs) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) names.add(found[1]);
  }
  const parts = [...names].sort().map((name) => {
    const folder = `${here}node_modules/${name}/`;
    const { version } = JSON.parse(readFileSync(`${folder}package.json`, "utf8"));
    return `${name} ${version}\n\n${readFileSync(`${folder}LICENSE`, "utf8").trim()}\n`;
  });
  return Buffer.from(`live.js.gz contains these packages.\n\n${parts.join(`\n${"-".repeat(70)}\n\n`)}`);
}

const shim = await bundled("src/shim.ts");
const live = await bundled("src/index.ts");
const files = {
  "shim.js": shim.code,
  // By a library, not by Node's zlib, whose bytes differ by version and processor. It writes no time and no name.
  "live.js.gz": Buffer.from(gzip(live.code, { level: 9 })),
  "LICENCES.txt": licences(live.inputs),
};

let differ = false;
for (const [name, made] of Object.entries(files)) {
  if (process.argv.includes("--check")) {
    if (made.equals(readFileSync(target + name))) continue;
    console.error(`${name} is not what the source builds to; run \`npm run build\` in js/ and commit it.`);
    differ = true;
  } else {
    mkdirSync(target, { recursive: true });
    writeFileSync(target + name, made);
    console.log(`${name}: ${made.length} bytes`);
  }
}
if (differ) process.exit(1);
