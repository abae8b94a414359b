// What part of a gallery is on screen. World units are those of layout.ts, screen units CSS pixels.

export interface Camera {
  /** World position of the top left corner of the screen. */
  readonly x: number;
  readonly y: number;
  /** CSS pixels of one world unit. */
  readonly zoom: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Limits {
  readonly world: Size;
  readonly screen: Size;
  readonly least: number;
  readonly most: number;
}

/** Largest size of one tap on screen, in CSS pixels. */
const MOST = 72;

/** How far one may go: from all of the world to a handful of taps. */
export function limitsOf(world: Size, screen: Size, least: number): Limits {
  return { world, screen, least, most: Math.max(MOST, least) };
}

/** The zoom at which all of the world is on screen. */
export const fitZoom = (world: Size, screen: Size): number =>
  Math.min(MOST, screen.width / world.width, screen.height / world.height);

const inside = (start: number, world: number, seen: number): number =>
  Math.min(Math.max(0, world - seen), Math.max(0, start));

/**
 * The nearest camera that shows no more emptiness than there is when all of the world is on screen.
 *
 * That much is left, so that a zoom from there can be about any point of the world.
 */
export function clampCamera(
  { x, y, zoom }: Camera,
  { world, screen, least, most }: Limits,
): Camera {
  const held = Math.min(most, Math.max(least, zoom));
  return {
    x: inside(x, world.width, Math.min(screen.width, world.width * least) / held),
    y: inside(y, world.height, Math.min(screen.height, world.height * least) / held),
    zoom: held,
  };
}

export const fitted = (limits: Limits): Camera => ({ x: 0, y: 0, zoom: limits.least });

/** Zoom so that what lies under the screen point (px, py) stays there. */
export function zoomAbout(
  camera: Camera,
  px: number,
  py: number,
  factor: number,
  limits: Limits,
): Camera {
  const zoom = Math.min(limits.most, Math.max(limits.least, camera.zoom * factor));
  return clampCamera(
    {
      x: camera.x + px / camera.zoom - px / zoom,
      y: camera.y + py / camera.zoom - py / zoom,
      zoom,
    },
    limits,
  );
}

/** Move the picture by screen pixels. */
export const panned = (camera: Camera, dx: number, dy: number, limits: Limits): Camera =>
  clampCamera(
    { ...camera, x: camera.x - dx / camera.zoom, y: camera.y - dy / camera.zoom },
    limits,
  );

/** The smallest move that brings a box of the world onto the screen. */
export function revealed(
  camera: Camera,
  box: { x: number; y: number; width: number; height: number },
  limits: Limits,
): Camera {
  const shift = (start: number, from: number, length: number, seen: number) =>
    from < start || length > seen ? from : Math.max(start, from + length - seen);
  const { width, height } = limits.screen;
  return clampCamera(
    {
      x: shift(camera.x, box.x, box.width, width / camera.zoom),
      y: shift(camera.y, box.y, box.height, height / camera.zoom),
      zoom: camera.zoom,
    },
    limits,
  );
}

export const isFitted = (camera: Camera, limits: Limits): boolean =>
  camera.zoom <= limits.least * 1.001;
