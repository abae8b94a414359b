// Icons are drawn, not taken from a font; beside a word they say nothing to a screen reader.

const PATHS = {
  full: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  leave: "M6 2v4H2M14 6h-4V2M10 14v-4h4M2 10h4v4",
  copy: "M5 5V2h9v9h-3M2 5h9v9H2z",
  save: "M8 2v8M4.5 7 8 10.5 11.5 7M3 14h10",
  close: "M4 4l8 8M12 4l-8 8",
  check: "M3 8.5 6.5 12 13 4.5",
  warn: "M8 2 14.5 13.5h-13zM8 6.5v3M8 11.4v.2",
  bad: "M8 1.8 14.2 8 8 14.2 1.8 8zM8 5v3.6M8 10.8v.2",
  none: "M3 8h10",
  add: "M8 3v10M3 8h10",
  down: "M4 6l4 4 4-4",
  info: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 1 0 8 1.8M8 7.2v4M8 4.8v.2",
  refresh: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3",
  play: "M5 3l8 5-8 5z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  help: "M5.8 6a2.2 2.2 0 1 1 3.3 1.9c-.8.4-1.1.9-1.1 1.7M8 12v.2",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 14 }: { name: IconName; size?: number }) {
  // As a style, so that no host's rule for all drawings changes it.
  const style = { width: size, height: size };
  return (
    <svg class="cl-icon" style={style} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
