import { effect, useComputed } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import { css, diverging, STEPS } from "../colormap";
import { plotOf } from "../draw/axes";
import { fitted, isFitted, revealed } from "../draw/camera";
import { type Frame, hitAt } from "../draw/frame";
import { GalleryPainter } from "../draw/gallery";
import { count, weight } from "../format";
import { Name } from "../name";
import { showAll } from "../pointing";
import type { Store } from "../state";
import type { Steering } from "../steering";
import { ZoomButtons } from "../zoom";
import type { GalleryModel } from "./model";
import { boxIn, listen, zoomIn } from "./pointing";
import { rangeWords } from "./words";

export interface Pane {
  model: GalleryModel;
  steering: Steering;
  /** What is drawn, in words; "" where there is but one thing that can be. */
  title: string;
}

interface Props extends Pane {
  store: Store;
}

/** What shares its place with the model's gallery: that which decides where filters lie. */
const leadOf = (model: GalleryModel): GalleryModel =>
  model.follower?.alike ? model.follower.lead : model;

export function Gallery({ store, model, steering, title }: Props) {
  const element = useRef<HTMLDivElement>(null);
  const frame = useRef<{ frame: Frame; dpr: number } | null>(null);
  const painter = useMemo(() => new GalleryPainter(), []);

  const paint = useMemo(
    () => (context: CanvasRenderingContext2D, size: Size) => {
      const dpr = context.getTransform().a;
      const lead = leadOf(model);
      const known = lead.size.peek();
      // side by side they may differ by a pixel: the first says what there is room for
      const first = model === lead || !lead.drawn;
      if (first && (known.width !== size.width || known.height !== size.height))
        lead.size.value = size;
      lead.dpr.value = dpr;
      const scene = model.scene.value;
      if (!scene) return;
      // before it is drawn: where the camera was, another layer would be drawn for nothing
      steering.settle();
      const choice = {
        camera: steering.camera.value,
        // the choice is one of the chosen layer; what is drawn may still be the last one
        channel: model.current.value ? store.traits.channel.value : null,
        pinned: model.pinned.value,
        hover: model.hover.value,
      };
      frame.current = { frame: painter.draw(context, scene, choice, size), dpr };
    },
    [store, model, steering, painter],
  );

  useLayoutEffect(() => {
    const lead = leadOf(model);
    lead.drawn ||= model === lead;
    const origin = () => plotOf(layoutOf(model), lead.size.peek(), lead.dpr.peek());
    const filterAt = (x: number, y: number) => {
      const drawn = frame.current;
      const scene = model.scene.peek();
      if (!drawn || !scene || !model.current.peek()) return null;
      const { left, top } = origin();
      const hit = hitAt(
        drawn.frame,
        (x - left) * drawn.dpr + drawn.frame.bleed,
        (y - top) * drawn.dpr + drawn.frame.bleed,
      );
      if (!hit) return null;
      return scene.material.order ? (scene.material.order[hit.slot] as number) : hit.slot;
    };
    const box = element.current as HTMLDivElement;
    const unlisten = listen({ element: box, store, model, steering, filterAt, origin });
    const unfollow = effect(() => {
      // at rest a finger scrolls the page, zoomed in it moves the picture
      const rest = isFitted(steering.camera.value, model.limits.value);
      box.style.touchAction = rest ? "pan-y" : "none";
    });
    return () => {
      unlisten();
      unfollow();
      if (model === lead) lead.drawn = false;
    };
  }, [store, model, steering]);

  const summary = useComputed(() => {
    const { layer, out, inputs } = model.set.value;
    return `${count(out * inputs)} filters of ${layer}: ${count(out)} outputs, ${count(inputs)} inputs`;
  }).value;
  const fit = useComputed(() => isFitted(steering.camera.value, model.limits.value)).value;
  const range = model.reach.value?.range;
  const whose = model.follower ? `${title}: ` : "Gallery of ";
  return (
    <div
      ref={element}
      class={`cl-gallery${fit ? "" : " cl-zoomed"}`}
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: an application takes keys
      tabIndex={0}
      aria-label={`${whose}${summary}. Arrows move, plus and minus zoom, Home fits; Shift and arrows choose a filter.`}
      aria-busy={!model.current.value}
    >
      <Canvas store={store} paint={paint} role="img" aria-label={summary} data-range={range} />
    </div>
  );
}

/** One gallery, or several side by side, and what their colours mean. */
export function Stage({ store, panes }: { store: Store; panes: readonly Pane[] }) {
  const { model, steering } = panes[0] as Pane;
  const lead = leadOf(model);
  useLayoutEffect(() => {
    const stop = follow(store, lead, steering);
    return () => {
      stop();
      steering.stop();
    };
  }, [store, lead, steering]);
  const other = panes.find((pane) => pane.steering !== steering);
  useLayoutEffect(
    () => (other ? follow(store, other.model, other.steering) : undefined),
    [store, other?.model, other?.steering],
  );
  const fit = useComputed(() => isFitted(steering.camera.value, lead.limits.value)).value;
  const useful = panes.length * model.useful.value + 16 * (panes.length - 1);
  return (
    <div class="cl-stage" style={{ maxWidth: Number.isFinite(useful) ? `${useful}px` : "none" }}>
      <div class="cl-panes">
        {panes.map((pane) => (
          <figure key={pane.model.follower?.of ?? "model"}>
            {pane.title && (
              <figcaption>
                <Name text={pane.title} />
              </figcaption>
            )}
            <Gallery store={store} {...pane} />
          </figure>
        ))}
      </div>
      <div class="cl-legend">
        <Legend store={store} model={model} />
        <ZoomButtons
          zoom={(factor) => zoomIn({ model: lead, steering }, factor)}
          showAll={() => showAll(steering)}
          whole={fit}
        />
      </div>
    </div>
  );
}

const layoutOf = (model: GalleryModel) => model.scene.peek()?.layout ?? { outs: 0, outsPerRow: 1 };

/** Keeps the camera with what is drawn: another layer or order is seen whole, a choice is in sight. */
function follow(store: Store, model: GalleryModel, steering: Steering): () => void {
  let drawn = "";
  let before = model.limits.peek();
  steering.settle = () => {
    const limits = model.limits.value;
    const { layer } = model.set.value;
    const now = `${layer} ${model.scene.value?.flow}`;
    if (now === drawn && limits === before) return;
    const whole = now !== drawn || isFitted(steering.target, before);
    steering.jump(whole ? fitted(limits) : steering.target);
    drawn = now;
    before = limits;
  };
  const stops = [
    effect(() => steering.settle()),
    effect(() => {
      store.traits.layer.value;
      model.hover.value = null;
      model.pinned.value = null;
    }),
    effect(() => {
      const channel = store.traits.channel.value;
      const pinned = model.pinned.peek();
      const { inputs, out } = model.set.peek();
      if (channel === null || channel >= out) {
        model.pinned.value = null;
        return;
      }
      if (pinned !== null && Math.floor(pinned / inputs) === channel) return;
      // chosen elsewhere, in Python perhaps
      model.pinned.value = null;
      const scene = model.scene.peek();
      if (!scene || steering.fitted) return;
      const target = revealed(steering.target, boxIn(scene, channel * inputs), model.limits.peek());
      steering.aim(target, true);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
    steering.settle = () => {};
  };
}

/** The colour map with the values at its ends. */
function Legend({ store, model }: Pick<Props, "store" | "model">) {
  const reach = model.reach.value;
  const ends = endOf(reach?.range);
  const [short, full] = rangeWords(store.traits.scale.value, reach, model.largest.value);
  return (
    <>
      <span>{ends === "0" ? ends : `−${ends}`}</span>
      <i style={{ background: gradient(store.theme.value === "dark") }} />
      <span>{ends}</span>
      <span class="cl-hint" title={full}>
        {short}
      </span>
    </>
  );
}

/** The value at an end of the legend. */
export function endOf(range: number | undefined): string {
  if (range === undefined) return "peak";
  return range > 0 ? weight(range) : "0";
}

/** The diverging map as a CSS image. */
export function gradient(dark: boolean): string {
  const table = diverging(dark);
  const stops = Array.from({ length: 17 }, (_, i) => {
    const step = Math.round((i / 16) * 2 * STEPS);
    return css(table[step] as number);
  });
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}
