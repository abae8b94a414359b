import { Drop } from "../drop";
import type { Store, ViewProps } from "../state";
import type { Method } from "../wire/saliency";

const FAMILIES = [
  { name: "gradient", title: "By gradients" },
  { name: "layer", title: "About the chosen layer" },
  { name: "perturbation", title: "By changing the input: no gradients needed" },
] as const;

/** The methods whose maps are shown: one by a click on its name, several by their boxes. */
export function MethodChooser({ store }: ViewProps) {
  const { method, methods } = store.traits;
  const title = store.explaining.declared(method.value)?.title ?? method.value;
  const more = methods.value.length - 1;
  return (
    <Drop
      strong
      label={more > 0 ? `${title} + ${more}` : title}
      name={`Methods: ${title}${more > 0 ? ` and ${more} more` : ""}`}
      disabled={store.lost.value !== ""}
    >
      {(close) => <Menu store={store} close={close} />}
    </Drop>
  );
}

function Menu({ store, close }: ViewProps & { close: () => void }) {
  const { explaining } = store;
  return (
    <fieldset class="cl-popover cl-method-menu" aria-label="Methods">
      {FAMILIES.map(({ name, title }) => (
        <div key={name}>
          <h4>{title}</h4>
          {explaining.methods
            .filter((method) => method.family === name)
            .map((method) => (
              <Row key={method.name} store={store} method={method} close={close} />
            ))}
        </div>
      ))}
    </fieldset>
  );
}

interface RowProps extends ViewProps {
  method: Method;
  close: () => void;
}

function Row({ store, method, close }: RowProps) {
  const { methods } = store.traits;
  const refusal = store.explaining.refusal(method.name);
  const shown = methods.value.includes(method.name);
  return (
    <div class={`cl-method${refusal === null ? "" : " cl-refused"}`}>
      <input
        type="checkbox"
        checked={shown}
        disabled={refusal !== null && !shown}
        aria-label={`Show ${method.title} beside the others`}
        title="Show it beside the others"
        onChange={() => toggle(store, method.name)}
      />
      <button
        type="button"
        disabled={refusal !== null}
        title={refusal === null ? `${method.source}. Needs ${method.needs}.` : refusal}
        onClick={() => {
          only(store, method.name);
          close();
        }}
      >
        <b>{method.title}</b>
        <span>{refusal ?? method.help}</span>
      </button>
    </div>
  );
}

/** Shows one method alone. */
export function only(store: Store, name: string): void {
  store.explaining.use(name, [name]);
}

function toggle(store: Store, name: string): void {
  const { methods, method } = store.traits;
  const order = store.explaining.methods.map((each) => each.name);
  const shown = methods.value.includes(name);
  const next = shown ? methods.value.filter((each) => each !== name) : [...methods.value, name];
  const [first] = next;
  if (first === undefined) return;
  next.sort((a, b) => order.indexOf(a) - order.indexOf(b));
  const looked = shown ? (method.value === name ? first : method.value) : name;
  store.explaining.use(looked, next);
}
