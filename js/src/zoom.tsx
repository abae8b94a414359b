interface Props {
  zoom: (factor: number) => void;
  showAll: () => void;
  /** All of the picture is seen. */
  whole: boolean;
}

export function ZoomButtons({ zoom, showAll, whole }: Props) {
  const button = (text: string, title: string, act: () => void, disabled: boolean) => (
    <button type="button" aria-label={title} title={title} disabled={disabled} onClick={act}>
      {text}
    </button>
  );
  return (
    <div class="cl-zoom">
      {button("+", "Zoom in (+)", () => zoom(1.5), false)}
      {button("−", "Zoom out (−)", () => zoom(1 / 1.5), whole)}
      {button("fit", "Fit: show all (Home, or double click)", showAll, whole)}
    </div>
  );
}
