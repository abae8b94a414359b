/** Something that draws itself on any canvas: on the screen, and into a PNG. Sizes in CSS pixels. */
export interface Picture {
  width: number;
  height: number;
  draw(context: CanvasRenderingContext2D): void;
}
