// One ESM and one style sheet, for anywidget: no imports are left, nothing is fetched at run time.
import { fileURLToPath } from "node:url";
import { context } from "esbuild";

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
}
