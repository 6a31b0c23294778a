// How one pen is drawn: its colour, line or steps, and its scale.

import { h, menu } from "./dom";
import { COLOURS, readScale, type Pen } from "./link";

/** A menu behind the pen's swatch. `changed` hears of each change. */
export function penMenu(pen: Pen, changed: () => void, failed: (words: string) => void): HTMLElement {
  const colour = (name: string, number: number): HTMLElement =>
    h("button", { type: "button", class: `swatch colour${number}`, title: name, "aria-label": name, "aria-pressed": String(pen.colour === number), click: () => ((pen.colour = number), changed()) });
  const turn = (label: string, title: string, key: "step" | "own"): HTMLElement =>
    h("button", { type: "button", title, "aria-pressed": String(pen[key]), click: () => ((pen[key] = !pen[key]), changed()) }, label);
  const field = (label: string, value: number | undefined): HTMLInputElement =>
    h("input", { type: "text", inputmode: "decimal", size: 7, "aria-label": label, placeholder: "auto", value: value === undefined ? "" : String(value) });
  const [low, high] = [field("Least of the scale", pen.scale?.[0]), field("Greatest of the scale", pen.scale?.[1])];
  const scale = (event: Event): void => {
    event.preventDefault();
    const found = readScale(`${low.value}..${high.value}`);
    if (!found && (low.value || high.value)) return failed("A scale is two numbers, the second one greater; leave both empty for one that fits the readings.");
    pen.scale = found;
    changed();
  };
  return menu(
    h("span", { class: `swatch colour${pen.colour}`, "aria-hidden": "true" }),
    h(
      "form",
      { submit: scale },
      h("div", { class: "palette", role: "group", "aria-label": "Colour" }, ...COLOURS.map(colour)),
      h("div", { class: "group" }, turn("Steps", "A value holds till the next", "step"), turn("Own lane", "On a lane with a scale of its own", "own")),
      h("div", { class: "range" }, "Scale ", low, " to ", high, h("button", {}, "Set")),
    ),
    { class: "pen", label: `How ${pen.asset} ${pen.sensor} is drawn`, title: "Colour, steps, scale" },
  );
}
