import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readColors } from "../src/draw/colors";
import { detectTheme, type Theme, watchTheme } from "../src/theme";

let element: HTMLElement;
const html = document.documentElement;
const system = { matches: false, listeners: new Set<() => void>() };

beforeEach(() => {
  vi.stubGlobal("matchMedia", () => ({
    get matches() {
      return system.matches;
    },
    addEventListener: (_: string, callback: () => void) => system.listeners.add(callback),
    removeEventListener: (_: string, callback: () => void) => system.listeners.delete(callback),
  }));
  element = document.createElement("div");
  document.body.append(element);
});
afterEach(() => {
  vi.unstubAllGlobals();
  system.matches = false;
  document.body.replaceChildren();
  for (const node of [html, document.body]) {
    for (const { name } of [...node.attributes]) node.removeAttribute(name);
  }
});

describe("the host's theme", () => {
  const hosts: [string, () => void, Theme][] = [
    ["JupyterLab, dark", () => document.body.setAttribute("data-jp-theme-light", "false"), "dark"],
    ["JupyterLab, light", () => document.body.setAttribute("data-jp-theme-light", "true"), "light"],
    ["Colab, dark", () => html.setAttribute("theme", "dark"), "dark"],
    ["Colab, light", () => html.setAttribute("theme", "light"), "light"],
    ["VS Code, dark", () => document.body.classList.add("vscode-dark"), "dark"],
    ["VS Code, contrast", () => document.body.classList.add("vscode-high-contrast"), "dark"],
    ["VS Code, light", () => document.body.classList.add("vscode-light"), "light"],
    [
      "VS Code, light contrast",
      () => document.body.classList.add("vscode-high-contrast", "vscode-high-contrast-light"),
      "light",
    ],
    ["marimo, dark", () => document.body.classList.add("dark"), "dark"],
    ["nothing", () => {}, "light"],
  ];
  for (const [name, mark, theme] of hosts) {
    it(`is read: ${name}`, () => {
      mark();
      expect(detectTheme(element)).toBe(theme);
    });
  }

  it("is the system's where the host says nothing, and not where it says light", () => {
    system.matches = true;
    expect(detectTheme(element)).toBe("dark");
    document.body.setAttribute("data-jp-theme-light", "true");
    expect(detectTheme(element)).toBe("light");
  });

  it("is found from inside a shadow root", () => {
    const outer = document.createElement("div");
    outer.className = "dark";
    document.body.append(outer);
    const inner = document.createElement("div");
    outer.attachShadow({ mode: "open" }).append(inner);
    expect(detectTheme(inner)).toBe("dark");
  });
});

describe("a change of the theme", () => {
  it("is told live, once, and no more after stopping", async () => {
    const seen: Theme[] = [];
    const stop = watchTheme(element, (theme) => seen.push(theme));
    document.body.setAttribute("data-jp-theme-light", "false");
    await Promise.resolve();
    document.body.setAttribute("data-other", "1");
    await Promise.resolve();
    document.body.setAttribute("data-jp-theme-light", "true");
    await Promise.resolve();
    expect(seen).toEqual(["dark", "light"]);
    stop();
    document.body.setAttribute("data-jp-theme-light", "false");
    await Promise.resolve();
    expect(seen.length).toBe(2);
  });

  it("of the system is told too", () => {
    const seen: Theme[] = [];
    const stop = watchTheme(element, (theme) => seen.push(theme));
    system.matches = true;
    for (const callback of system.listeners) callback();
    expect(seen).toEqual(["dark"]);
    stop();
    expect(system.listeners.size).toBe(0);
  });
});

describe("the colours of canvases", () => {
  it("are not read before the style sheet is there, as in JupyterLab's first moment", () => {
    const root = document.createElement("div");
    document.body.append(root);
    expect(readColors(root)).toBeNull();
    root.style.setProperty("--cl-bg", "#123456");
    expect(readColors(root)?.bg).toBe("#123456");
    root.remove();
  });
});
