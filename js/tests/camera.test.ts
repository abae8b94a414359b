import { describe, expect, it } from "vitest";
import {
  type Camera,
  clampCamera,
  fitted,
  fitZoom,
  isFitted,
  limitsOf,
  panned,
  revealed,
  zoomAbout,
} from "../src/draw/camera";

const world = { width: 600, height: 400 };
const screen = { width: 300, height: 300 };
const limits = limitsOf(world, screen, fitZoom(world, screen));
const under = (camera: Camera, x: number, y: number) => [
  camera.x + x / camera.zoom,
  camera.y + y / camera.zoom,
];

describe("the camera", () => {
  it("fits all of the world", () => {
    const camera = fitted(limits);
    expect(camera).toEqual({ x: 0, y: 0, zoom: 0.5 });
    expect(isFitted(camera, limits)).toBe(true);
  });

  it("keeps what is under the cursor where it is", () => {
    const camera = { x: 200, y: 120, zoom: 3 };
    for (const factor of [0.7, 1.2, 4]) {
      const zoomed = zoomAbout(camera, 140, 90, factor, limits);
      expect(zoomed.zoom).toBeCloseTo(3 * factor, 10);
      const [x, y] = under(zoomed, 140, 90);
      const [wasX, wasY] = under(camera, 140, 90);
      expect(x).toBeCloseTo(wasX as number, 8);
      expect(y).toBeCloseTo(wasY as number, 8);
    }
  });

  it("keeps it there from rest on, wherever the cursor is over the world", () => {
    const rest = fitted(limits);
    for (const [px, py] of [
      [299, 199],
      [1, 1],
      [150, 190],
    ] as const) {
      const zoomed = zoomAbout(rest, px, py, 1.7, limits);
      expect(under(zoomed, px, py)[0]).toBeCloseTo(px / rest.zoom, 8);
      expect(under(zoomed, px, py)[1]).toBeCloseTo(py / rest.zoom, 8);
      const back = zoomAbout(zoomed, px, py, 1 / 1.7, limits);
      expect(back.x).toBeCloseTo(0, 8);
      expect(back.y).toBeCloseTo(0, 8);
    }
  });

  it("comes back from a zoom in and out", () => {
    const camera = { x: 200, y: 120, zoom: 3 };
    const there = zoomAbout(camera, 80, 200, 2.5, limits);
    const back = zoomAbout(there, 80, 200, 1 / 2.5, limits);
    expect(back.x).toBeCloseTo(camera.x, 8);
    expect(back.y).toBeCloseTo(camera.y, 8);
  });

  it("does not zoom beyond its limits, and then does not move either", () => {
    const out = zoomAbout({ x: 50, y: 50, zoom: 1 }, 10, 10, 1e-6, limits);
    expect(out).toEqual(fitted(limits));
    const near = { x: 200, y: 120, zoom: limits.most };
    expect(zoomAbout(near, 33, 44, 10, limits)).toEqual(near);
  });

  it("shows no emptiness that it need not", () => {
    expect(clampCamera({ x: -50, y: 900, zoom: 2 }, limits)).toEqual({ x: 0, y: 300, zoom: 2 });
    // the world is flatter than the screen: no more is left free below it than at rest
    const low = clampCamera({ x: 0, y: 900, zoom: 2 }, limits);
    expect((low.y + screen.height / low.zoom - world.height) * low.zoom).toBeCloseTo(100, 8);
  });

  it("moves with the pointer, and stops at the edges", () => {
    const camera = { x: 200, y: 120, zoom: 2 };
    expect(panned(camera, 20, -10, limits)).toEqual({ x: 190, y: 125, zoom: 2 });
    expect(panned(camera, 1e6, 1e6, limits)).toEqual({ x: 0, y: 0, zoom: 2 });
  });

  it("brings a box into sight by the smallest move", () => {
    const camera = { x: 200, y: 120, zoom: 2 };
    const box = (x: number, y: number) => ({ x, y, width: 10, height: 10 });
    expect(revealed(camera, box(220, 130), limits)).toEqual(camera);
    expect(revealed(camera, box(100, 300), limits)).toEqual({ x: 100, y: 160, zoom: 2 });
  });
});
