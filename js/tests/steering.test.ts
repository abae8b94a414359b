import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { limitsOf } from "../src/draw/camera";
import { Steering } from "../src/steering";

const limits = signal(limitsOf({ width: 600, height: 600 }, { width: 300, height: 300 }, 0.5));
let frames: ((now: number) => void)[];
let calm: boolean;
let clock: number;

const frame = () => {
  clock += 16;
  const [run] = frames.splice(0, 1);
  run?.(clock);
};

beforeEach(() => {
  frames = [];
  calm = false;
  clock = performance.now();
  vi.stubGlobal("requestAnimationFrame", (run: (now: number) => void) => frames.push(run));
  vi.stubGlobal("cancelAnimationFrame", () => {
    frames = [];
  });
  vi.stubGlobal("matchMedia", () => ({ matches: calm }));
});
afterEach(() => vi.unstubAllGlobals());

describe("steering", () => {
  it("moves once a frame, however many events there were", () => {
    const steering = new Steering(limits);
    const seen: number[] = [];
    steering.camera.subscribe(({ zoom }) => void seen.push(zoom));
    for (let i = 0; i < 20; i++) steering.zoom(100, 100, 1.05, false);
    expect(frames.length).toBe(1);
    frame();
    expect(seen.length).toBe(2);
    expect(seen[1]).toBeCloseTo(0.5 * 1.05 ** 20, 8);
    expect(frames.length).toBe(0);
  });

  it("eases, with the point that it zooms about in its place all the way", () => {
    const steering = new Steering(limits);
    const under = () => {
      const { x, y, zoom } = steering.camera.value;
      return [x + 120 / zoom, y + 200 / zoom];
    };
    const [x = 0, y = 0] = under();
    steering.zoom(120, 200, 6);
    let steps = 0;
    while (frames.length > 0 && steps < 200) {
      frame();
      steps++;
      expect(under()[0]).toBeCloseTo(x, 6);
      expect(under()[1]).toBeCloseTo(y, 6);
    }
    expect(steps).toBeGreaterThan(5);
    expect(steps).toBeLessThan(60);
    expect(steering.camera.value.zoom).toBeCloseTo(3, 10);
  });

  it("does not ease for those who want no motion", () => {
    calm = true;
    const steering = new Steering(limits);
    steering.zoom(10, 10, 4);
    frame();
    expect(steering.camera.value.zoom).toBeCloseTo(2, 10);
    expect(frames.length).toBe(0);
  });

  it("knows when all is in sight, and jumps there", () => {
    const steering = new Steering(limits);
    expect(steering.fitted).toBe(true);
    steering.jump({ x: 100, y: 100, zoom: 4 });
    expect(steering.fitted).toBe(false);
    steering.jump({ x: 5, y: 5, zoom: 0 });
    expect(steering.camera.value).toEqual({ x: 0, y: 0, zoom: 0.5 });
  });
});
