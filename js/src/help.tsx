import { useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";

const KEYS: readonly (readonly [string, string])[] = [
  ["↑ ↓", "the layer before, the layer after (in the list)"],
  ["← →", "the same, in the chart; between tabs, on a tab"],
  ["Home End", "the first layer, the last"],
  ["↑ ↓ ← →", "the next cell, in a heatmap; the next channel, among all"],
  ["Enter", "the filters of the layer"],
  ["/", "search layers"],
  ["+ − 0", "zoom the picture, fit it"],
  ["f", "full screen"],
  ["?", "this help"],
  ["Esc", "close, leave"],
];

const WORDS: readonly (readonly [string, string])[] = [
  ["filter", "one kernel: the weights from one input channel to one output"],
  ["sparsity", "share of filters whose every weight is below eps of the layer's largest"],
  [
    "entropy",
    "how evenly the filters use the patterns they could have; 1 is what random filters have",
  ],
  ["feature", "what makes a channel fire: a picture made for it, and the inputs it likes best"],
  ["similarity", "how alike two layers tell the same inputs apart, whatever their channels"],
  ["saliency", "which parts of an input a prediction rests on"],
  ["orthogonality", "1 where all outputs look for different things, 0 where for the same"],
];

export function Help({ close }: { close: () => void }) {
  const button = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    const tree = button.current?.getRootNode() as Document | ShadowRoot;
    const before = tree.activeElement;
    button.current?.focus({ preventScroll: true });
    return () => {
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  const keys = (event: KeyboardEvent) => {
    // The button is the only thing to reach here, so Tab stays on it.
    if (event.key === "Escape" || event.key === "?") close();
    else if (event.key !== "Tab") return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="cl-shade">
      <div class="cl-help" role="dialog" aria-modal="true" aria-label="Help" onKeyDown={keys}>
        <button ref={button} type="button" class="cl-tool" aria-label="Close help" onClick={close}>
          <Icon name="close" />
        </button>
        <h3>Keys</h3>
        <dl class="cl-keys">
          {KEYS.map(([key, does]) => (
            <div key={key}>
              <dt>
                {key.split(" ").map((cap) => (
                  <kbd key={cap}>{cap}</kbd>
                ))}
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
        <h3>Words</h3>
        <dl class="cl-words">
          {WORDS.map(([word, meaning]) => (
            <div key={word}>
              <dt>{word}</dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
        <p class="cl-python">
          What is chosen here can be read and set in Python: <code>lens.layer</code>,{" "}
          <code>lens.eps</code>, <code>lens.result()</code>
        </p>
      </div>
    </div>
  );
}
