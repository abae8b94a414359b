// Colour maps as look-up tables of packed pixels, equal steps of value being equal steps to the
// eye: each is a path through OKLab walked at constant speed. One for a light and one for a dark
// ground, each fading into its ground at zero, so that neither glares.

/** A point of a path: lightness 0..1, chroma, hue in degrees. */
type Stop = readonly [lightness: number, chroma: number, hue: number];
type Lab = readonly [l: number, a: number, b: number];

/** A signed value takes the steps -STEPS..STEPS about zero. */
export const STEPS = 255;

/** The step of a NaN or infinite value: the slot behind the last colour. */
export const BAD = STEPS + 1;

const COOL = 252;
const WARM = 27;

// both arms share lightness and chroma: +w and -w weigh the same
const ARM: Record<"light" | "dark", readonly (readonly [number, number])[]> = {
  light: [
    [0.972, 0.003],
    [0.63, 0.145],
    [0.36, 0.115],
  ],
  dark: [
    [0.245, 0.006],
    [0.56, 0.125],
    [0.85, 0.085],
  ],
};

const HEAT: Record<"light" | "dark", readonly Stop[]> = {
  light: [
    [0.98, 0.015, 95],
    [0.88, 0.11, 80],
    [0.69, 0.165, 48],
    [0.5, 0.17, 22],
    [0.28, 0.1, 5],
  ],
  dark: [
    [0.225, 0.01, 280],
    [0.36, 0.11, 345],
    [0.53, 0.165, 20],
    [0.71, 0.15, 52],
    [0.9, 0.09, 90],
  ],
};

function lab([l, c, h]: Stop): Lab {
  const angle = (h * Math.PI) / 180;
  return [l, c * Math.cos(angle), c * Math.sin(angle)];
}

const between = (p: Lab, q: Lab, t: number): Lab => [
  p[0] + (q[0] - p[0]) * t,
  p[1] + (q[1] - p[1]) * t,
  p[2] + (q[2] - p[2]) * t,
];

const distance = (p: Lab, q: Lab): number => Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);

/** Pack a colour as a canvas stores it on a little-endian machine. */
export const pack = (r: number, g: number, b: number): number =>
  ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** The CSS colour of a packed pixel. */
export const css = (pixel: number): string =>
  `rgb(${pixel & 255},${(pixel >> 8) & 255},${(pixel >> 16) & 255})`;

/** The pixel of a CSS colour in any notation: a canvas gives it back as #rrggbb. */
export function parse(color: string, context: CanvasRenderingContext2D): number {
  context.fillStyle = "#808080";
  context.fillStyle = color;
  const hex = Number.parseInt(String(context.fillStyle).slice(1, 7), 16);
  return pack(hex >> 16, (hex >> 8) & 255, hex & 255);
}

/** Mix two packed pixels; `t` = 1 gives `q`. */
export function mix(p: number, q: number, t: number): number {
  const part = (shift: number) => {
    const from = (p >> shift) & 255;
    return Math.round(from + (((q >> shift) & 255) - from) * t);
  };
  return pack(part(0), part(8), part(16));
}

/** Black or white, whichever reads better on a pixel. */
export function inkOn(pixel: number): string {
  const light = 0.3 * (pixel & 255) + 0.59 * ((pixel >> 8) & 255) + 0.11 * ((pixel >> 16) & 255);
  return light > 140 ? "rgba(0,0,0,.82)" : "rgba(255,255,255,.9)";
}

/** OKLab to a packed sRGB pixel (B. Ottosson, 2020). */
function pixelOf([l, a, b]: Lab): number {
  const u = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const v = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const w = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const channel = (linear: number) => {
    const x = Math.min(1, Math.max(0, linear));
    return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));
  };
  return pack(
    channel(4.0767416621 * u - 3.3077115913 * v + 0.2309699292 * w),
    channel(-1.2684380046 * u + 2.6097574011 * v - 0.3413193965 * w),
    channel(-0.0041960863 * u - 0.7034186147 * v + 1.707614701 * w),
  );
}

/** Walk the path from stop to stop in `count` steps of equal length. */
function walk(stops: readonly Stop[], count: number): number[] {
  const corners = stops.map(lab);
  const lengths = corners.slice(1).map((corner, i) => distance(corners[i] as Lab, corner));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  let leg = 0;
  let before = 0;
  return Array.from({ length: count }, (_, i) => {
    const walked = (total * i) / (count - 1);
    while (leg < lengths.length - 1 && walked > before + (lengths[leg] as number)) {
      before += lengths[leg] as number;
      leg += 1;
    }
    const t = Math.min(1, (walked - before) / (lengths[leg] as number));
    return pixelOf(between(corners[leg] as Lab, corners[leg + 1] as Lab, t));
  });
}

function once(build: (ground: "light" | "dark") => Uint32Array): (dark: boolean) => Uint32Array {
  const built: { light?: Uint32Array; dark?: Uint32Array } = {};
  return (dark) => {
    const ground = dark ? "dark" : "light";
    built[ground] ??= build(ground);
    return built[ground];
  };
}

/**
 * Signed values: blue below zero, red above, the ground at zero.
 *
 * 2 * STEPS + 2 packed pixels: step s is at [s + STEPS], BAD behind them.
 */
export const diverging = once((ground) => {
  const arm = (hue: number) =>
    walk(
      ARM[ground].map(([l, c]) => [l, c, hue]),
      STEPS + 1,
    );
  const table = new Uint32Array(2 * STEPS + 2);
  arm(COOL).forEach((pixel, i) => {
    table[STEPS - i] = pixel;
  });
  arm(WARM).forEach((pixel, i) => {
    if (i > 0) table[STEPS + i] = pixel;
  });
  table[STEPS + BAD] = bad(ground === "dark");
  return table;
});

/** Magnitudes, 0 at [0] and the largest at [STEPS]; BAD is at [BAD]. */
export const sequential = once((ground) => {
  const table = new Uint32Array(STEPS + 2);
  table.set(walk(HEAT[ground], STEPS + 1));
  table[BAD] = bad(ground === "dark");
  return table;
});

/** As matplotlib's magma, and on every ground: the view looks as the figure in Python does. */
const MAGMA: readonly Stop[] = [
  [0.09, 0.03, 281],
  [0.309, 0.149, 297],
  [0.466, 0.167, 333],
  [0.62, 0.184, 12],
  [0.789, 0.13, 48],
  [0.978, 0.079, 109],
];

/** Similarities, from 0 at [0] to the same at [STEPS]; BAD is at [BAD]. */
export const likeness = once((ground) => {
  const table = new Uint32Array(STEPS + 2);
  table.set(walk(MAGMA, STEPS + 1));
  table[BAD] = bad(ground === "dark");
  return table;
});

/** What NaN and infinity are drawn in; a hatching over it keeps it from hanging on colour. */
const bad = (dark: boolean): number => (dark ? pack(92, 88, 60) : pack(226, 220, 176));

/** The step of a value, where `range` takes the last one; BAD for NaN and infinity. */
export function stepOf(value: number, range: number): number {
  if (value - value !== 0) return BAD;
  const step = range > 0 ? (value * STEPS) / range : 0;
  return ((Math.max(-STEPS, Math.min(STEPS, step)) + (STEPS + 0.5)) | 0) - STEPS;
}
