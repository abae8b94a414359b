import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import front from "../src/index";
import { FakeModel, layer, row, settle } from "./fake";

const HOSTILE = '"><img src=x onerror="window.hacked=1"></script>';
const LAYERS = [
  layer("conv1"),
  layer("layer1.conv1"),
  layer(`layer1.${HOSTILE}`),
  layer("lazy", { shape: [], reason: "lazy: not initialised yet" }),
];
const ROWS = LAYERS.slice(0, 3).map(({ key }) => row(key));

let el: HTMLElement;
let model: FakeModel;
let stop: () => void;

const $ = <T extends HTMLElement>(selector: string): T => {
  const found = el.querySelector<T>(selector);
  if (!found) throw new Error(`nothing is ${selector}`);
  return found;
};
const options = () => [...el.querySelectorAll<HTMLElement>("[role=option]")];
const press = (on: Element, key: string) => {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
  on.dispatchEvent(event);
  return event;
};
const open = (more: Record<string, unknown> = {}, layers = LAYERS) => {
  model = new FakeModel(layers, { _summary: { eps: 0.01, revision: 0, rows: ROWS }, ...more });
  stop = front.render({ model, el });
};

beforeEach(() => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  // jsdom draws nothing: what is drawn is looked at in a browser.
  HTMLCanvasElement.prototype.getContext = () => null;
  Element.prototype.scrollTo = () => {};
  el = document.createElement("div");
  document.body.append(el);
});
afterEach(() => {
  stop?.();
  el.remove();
  vi.unstubAllGlobals();
});

describe("the rail", () => {
  it("is a listbox of all layers, with the unscored and their reason", () => {
    open();
    expect(options().map((option) => option.dataset.key)).toEqual(LAYERS.map(({ key }) => key));
    const list = $("[role=listbox]");
    const active = list.getAttribute("aria-activedescendant") ?? "";
    expect($(`#${active}`).getAttribute("aria-selected")).toBe("true");
    expect($(".cl-unscored").textContent).toContain("lazy: not initialised yet");
  });

  it("moves by keys, tells Python, and opens the filters", async () => {
    open();
    const list = $("[role=listbox]");
    expect(press(list, "ArrowDown").defaultPrevented).toBe(true);
    expect(model.get("layer")).toBe("layer1.conv1");
    press(list, "End");
    expect(model.get("layer")).toBe("lazy");
    press(list, "Home");
    press(list, "Enter");
    expect(model.get("view")).toBe("filters");
    await settle();
    expect(options()[0]?.getAttribute("aria-selected")).toBe("true");
  });

  it("chooses by click, and keeps keys from the host", async () => {
    open();
    options()[1]?.click();
    expect(model.get("layer")).toBe("layer1.conv1");
    await settle();
    expect($(".cl-status").textContent).toContain("layer1.conv1");
    const heard = vi.fn();
    document.addEventListener("keydown", heard);
    press($("[role=listbox]"), "d");
    document.removeEventListener("keydown", heard);
    expect(heard).not.toHaveBeenCalled();
    expect($(".convlens").dataset.lmSuppressShortcuts).toBe("true");
  });

  it("searches, and says when nothing is found", async () => {
    open();
    const search = $<HTMLInputElement>(".cl-search");
    search.value = "l1conv";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    expect(options().map((option) => option.dataset.key)).toEqual(["layer1.conv1"]);
    press(search, "Enter");
    expect(model.get("layer")).toBe("layer1.conv1");
    search.value = "zzz";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    expect($(".cl-none").textContent).toContain("No layer matches “zzz”");
  });
});

describe("names", () => {
  it("are text, whatever they hold", async () => {
    open({ layer: LAYERS[2]?.key });
    await settle();
    expect(el.querySelector("img")).toBe(null);
    expect((window as unknown as { hacked?: number }).hacked).toBe(undefined);
    expect($(".cl-status-name").textContent).toBe(LAYERS[2]?.key);
  });
});

describe("tabs", () => {
  it("have one stop for Tab, and move by arrow keys", async () => {
    open();
    const tabs = [...el.querySelectorAll<HTMLElement>("[role=tab]")];
    expect(tabs.filter((tab) => tab.tabIndex === 0).length).toBe(1);
    press($("[role=tablist]"), "ArrowRight");
    const second = tabs[1 % tabs.length] as HTMLElement;
    await settle();
    expect(second.getAttribute("aria-selected")).toBe("true");
    expect(document.activeElement).toBe(second);
  });
});

describe("the chart", () => {
  it("is reached and moved by keys, and says the layer it is on", async () => {
    open();
    const chart = $("[role=slider]");
    expect(chart.tabIndex).toBe(0);
    press(chart, "ArrowRight");
    await settle();
    expect(model.get("layer")).toBe("layer1.conv1");
    expect(chart.getAttribute("aria-valuenow")).toBe("2");
    expect(chart.getAttribute("aria-valuetext")).toBe(
      "layer1.conv1, entropy 0.900 of random, sparsity 12.5 % (32 of 256)",
    );
  });

  it("has an eps that moves figures at once and asks once it is let go", async () => {
    open();
    const asked = model.count("quality");
    const slider = $<HTMLInputElement>(".cl-eps input");
    slider.value = "2";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    expect($(".cl-eps output").textContent).toBe("10 %");
    expect($(".cl-status").textContent).toContain("sparsity 0.250");
    expect(model.count("quality")).toBe(asked);
    slider.dispatchEvent(new Event("change", { bubbles: true }));
    expect(model.last("quality").params).toEqual({ eps: 0.1 });
    expect(model.get("eps")).toBe(0.1);
  });
});

describe("the verdict", () => {
  it("unfolds how each figure is computed, and Escape folds it", async () => {
    open();
    const unfold = $<HTMLButtonElement>(".cl-unfold");
    unfold.click();
    await settle();
    const sheet = $(".cl-sheet");
    expect(unfold.getAttribute("aria-expanded")).toBe("true");
    expect(document.activeElement).toBe(sheet);
    expect(sheet.textContent).toContain("12.5 % of n = 256 at ε = 1 %");
    expect(sheet.textContent).toContain("0.850 of at most log₁₀ 9 = 0.954");
    expect(sheet.textContent).toContain("CNN Filter DB");
    press(sheet, "Escape");
    await settle();
    expect(el.querySelector(".cl-sheet")).toBe(null);
  });

  it("stands back while eps is not the one it was said for", async () => {
    open();
    expect($(".cl-verdict").classList.contains("cl-old")).toBe(false);
    model.set("eps", 0.1);
    await settle();
    expect($(".cl-verdict").classList.contains("cl-old")).toBe(true);
  });
});

describe("states", () => {
  const notice = () => el.querySelector(".cl-notices")?.textContent ?? "";

  it("empty: a model without layers says so", () => {
    open({ _summary: {} }, []);
    expect(el.textContent).toContain("This model has no layer with weights.");
    expect(model.count("distribution")).toBe(0);
  });

  it("loading: rows that have not come are skeletons", async () => {
    open({ _summary: {} });
    expect(el.querySelectorAll(".cl-wait").length).toBe(6);
    await settle();
    expect($(".cl-status").textContent).toContain("measuring…");
    const header = { done: 1, total: 3, label: "conv1", rows: [ROWS[0]] };
    model.reply(model.last("quality").id, header, [], "progress");
    await settle();
    expect(el.querySelectorAll(".cl-wait").length).toBe(4);
    expect($(".cl-job").textContent).toContain("33 %");
    $<HTMLButtonElement>(".cl-job button").click();
    expect(model.last("cancel").id).toBe(model.last("quality").id);
  });

  it("stale: a button has the weights read again", async () => {
    open({ stale: true });
    expect(notice()).toContain("Weights changed");
    $<HTMLButtonElement>(".cl-notices button").click();
    expect(model.count("refresh")).toBe(1);
    model.set("stale", false);
    await settle();
    expect(notice()).toBe("");
  });

  it("busy: says that the click is queued until anything comes back", async () => {
    vi.useFakeTimers();
    open();
    await vi.advanceTimersByTimeAsync(500);
    expect($(".cl-busy").textContent).toContain("kernel busy: your click is queued");
    model.reply(model.last("hello").id, { concurrent: false, revision: 0, version: "1" });
    await vi.advanceTimersByTimeAsync(1);
    expect(el.querySelector(".cl-busy")).toBe(null);
    vi.useRealTimers();
  });

  it("gone: the last picture stays, and controls say so", async () => {
    open();
    model.dead = true;
    options()[1]?.click();
    await settle();
    expect(notice()).toContain("The kernel is gone");
    expect($<HTMLInputElement>(".cl-eps input").disabled).toBe(true);
    expect($(".cl-verdict").textContent).toContain("Diverse");
  });

  it("closed: says so", async () => {
    open();
    model.set("closed", true);
    await settle();
    expect(notice()).toContain("This Lens was closed");
  });

  it("error: one sentence, details that unfold, and it can be dismissed", async () => {
    open();
    const header = { message: "Out of memory.", details: "Traceback <b>" };
    model.reply(model.last("quality").id, header, [], "error");
    await settle();
    expect($("[role=alert]").textContent).toContain("Out of memory.");
    expect($("[role=alert] pre").textContent).toBe("Traceback <b>");
    $<HTMLButtonElement>("[aria-label=Dismiss]").click();
    await settle();
    expect(notice()).toBe("");
  });

  it("stopped: says how many layers are left, and goes on when asked", async () => {
    open();
    model.reply(model.last("quality").id, {}, [], "cancelled");
    await settle();
    expect(notice()).toContain("not measured");
    expect(document.querySelector("[role=alert]")).toBeNull();
    const asked = model.count("quality");
    $<HTMLButtonElement>(".cl-notice .cl-link").click();
    await settle();
    expect(model.count("quality")).toBe(asked + 1);
    expect(notice()).toBe("");
  });

  it("a layer with NaN weights keeps its histogram and says what is wrong", async () => {
    const verdict = { title: "Not scored", text: "3 weights are NaN.", tone: "bad" as const };
    const reason = "3 weights are NaN";
    const bad = row("conv1", { sparsity: null, variance_entropy: null, reason, verdict });
    open({ _summary: { eps: 0.01, revision: 0, rows: [bad] } });
    expect($(".cl-unscored").textContent).toContain("3 weights are NaN");
    expect($(".cl-verdict").textContent).toContain("Not scored");
    expect(model.count("distribution")).toBe(1);
  });
});

describe("taking away", () => {
  it("copies the Python of what is chosen", async () => {
    const writeText = vi.fn(() => Promise.resolve());
    vi.stubGlobal("navigator", { ...navigator, clipboard: { writeText } });
    Object.defineProperty(window.navigator, "clipboard", {
      value: { writeText },
      configurable: true,
    });
    open();
    $<HTMLButtonElement>("[aria-label='Copy as Python']").click();
    await settle();
    expect(writeText).toHaveBeenCalledWith('q("conv1", 0.01)');
    expect($("[role=status].cl-toast").textContent).toContain("Copied");
  });

  it("shows the lines where the browser forbids copying", async () => {
    Object.defineProperty(window.navigator, "clipboard", { value: undefined, configurable: true });
    document.execCommand = () => false;
    open();
    $<HTMLButtonElement>("[aria-label='Copy as Python']").click();
    await settle();
    expect($<HTMLTextAreaElement>(".cl-code textarea").value).toBe('q("conv1", 0.01)');
  });
});

describe("help", () => {
  it("opens by ?, takes the focus, and gives it back", async () => {
    open();
    const list = $("[role=listbox]");
    list.focus();
    press(list, "?");
    await settle();
    const dialog = $("[role=dialog]");
    expect(dialog.contains(document.activeElement)).toBe(true);
    press(dialog, "Escape");
    await settle();
    expect(el.querySelector("[role=dialog]")).toBe(null);
    expect(document.activeElement).toBe(list);
  });

  it("does not open while a word is typed", async () => {
    open();
    press($(".cl-search"), "?");
    await settle();
    expect(el.querySelector("[role=dialog]")).toBe(null);
  });
});

it("works in a shadow root, focus included", async () => {
  const host = document.createElement("div");
  el.append(host);
  const inner = document.createElement("div");
  host.attachShadow({ mode: "open" }).append(inner);
  model = new FakeModel(LAYERS, { _summary: { eps: 0.01, revision: 0, rows: ROWS } });
  stop = front.render({ model, el: inner });
  const list = inner.querySelector<HTMLElement>("[role=listbox]") as HTMLElement;
  list.focus();
  press(list, "?");
  await settle();
  const dialog = inner.querySelector("[role=dialog]") as HTMLElement;
  expect(dialog.contains(host.shadowRoot?.activeElement ?? null)).toBe(true);
  press(dialog, "Escape");
  await settle();
  expect(host.shadowRoot?.activeElement).toBe(list);
});

it("follows the host's theme live", async () => {
  open();
  expect($(".convlens").classList.contains("cl-dark")).toBe(false);
  document.body.setAttribute("data-jp-theme-light", "false");
  await settle();
  expect($(".convlens").classList.contains("cl-dark")).toBe(true);
  document.body.removeAttribute("data-jp-theme-light");
});

it("going away leaves no listener and no element", () => {
  open();
  expect(model.listeners).toBeGreaterThan(0);
  stop();
  expect(model.listeners).toBe(0);
  expect(el.childElementCount).toBe(0);
});
