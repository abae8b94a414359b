// One ESM and one style sheet, for anywidget: no imports are left, nothing is fetched at run time.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { context } from "esbuild";
import { minify } from "terser";

const watch = process.argv.includes("--watch");
// Not its pathname: a folder may have a space in its name.
const at = (path) => fileURLToPath(new URL(path, import.meta.url));

const build = await context({
  entryPoints: { lens: at("src/index.tsx") },
  outdir: at("../convlens/static"),
  bundle: true,
  format: "esm",
  target: "es2022",
  jsx: "transform",
  jsxFactory: "h",
  jsxFragment: "Fragment",
  inject: [at("src/jsx.ts")],
  // The editor and the tests use the automatic runtime that tsconfig.json names.
  tsconfigRaw: {},
  minify: !watch,
  sourcemap: watch ? "inline" : false,
  legalComments: "none",
  charset: "utf8",
  logLevel: "info",
});

if (watch) await build.watch();
else {
  await build.rebuild();
  await build.dispose();
  // Of what esbuild leaves, a twenty-fifth once more: the bundle travels with every saved notebook.
  const file = at("../convlens/static/lens.js");
  const { code } = await minify(await readFile(file, "utf8"), {
    module: true,
    ecma: 2020,
    compress: { passes: 3, unsafe_arrows: true },
  });
  await writeFile(file, code);
}
