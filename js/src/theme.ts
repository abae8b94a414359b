// Light or dark, as the host is. Only the host's own marks on <html>, <body> and the widget's
// ancestors are read; the widget marks nothing outside its root.

export type Theme = "light" | "dark";

const ATTRIBUTES = [
  "class",
  "style",
  "theme",
  "data-theme",
  "data-jp-theme-light",
  "data-vscode-theme-kind",
];

export function detectTheme(element: Element): Theme {
  const { documentElement: html, body } = element.ownerDocument;
  // JupyterLab and Notebook 7
  const lab = body.getAttribute("data-jp-theme-light");
  if (lab !== null) return lab === "false" ? "dark" : "light";
  // VS Code
  const code = body.getAttribute("data-vscode-theme-kind") ?? body.className;
  if (/vscode-(high-contrast-)?light/.test(code)) return "light";
  if (/vscode-(dark|high-contrast)/.test(code)) return "dark";
  // Colab: html[theme=dark]; documentation sites: html[data-theme=dark]
  const named = html.getAttribute("theme") ?? html.getAttribute("data-theme");
  if (named === "dark" || named === "light") return named;
  // marimo: a class on <body> or nearer, perhaps outside the shadow root the widget is in
  for (let node: Element | null = element; node; node = parent(node)) {
    if (node.classList.contains("dark")) return "dark";
    if (node.classList.contains("light")) return "light";
  }
  const scheme = getComputedStyle(html).colorScheme;
  if (scheme === "dark" || scheme === "light") return scheme;
  return systemTheme(element)?.matches ? "dark" : "light";
}

/** Calls `changed` with the theme whenever it changes, until the returned function is called. */
export function watchTheme(element: Element, changed: (theme: Theme) => void): () => void {
  let current = detectTheme(element);
  const check = () => {
    const theme = detectTheme(element);
    if (theme === current) return;
    current = theme;
    changed(theme);
  };
  const observer = new MutationObserver(check);
  const { documentElement: html, body } = element.ownerDocument;
  for (const node of [html, body]) observer.observe(node, { attributeFilter: ATTRIBUTES });
  const system = systemTheme(element);
  system?.addEventListener("change", check);
  return () => {
    observer.disconnect();
    system?.removeEventListener("change", check);
  };
}

function systemTheme(element: Element): MediaQueryList | undefined {
  return element.ownerDocument.defaultView?.matchMedia?.("(prefers-color-scheme: dark)");
}

function parent(node: Element): Element | null {
  if (node.parentElement) return node.parentElement;
  const root = node.getRootNode();
  return root instanceof ShadowRoot ? root.host : null;
}
