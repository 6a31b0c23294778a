// The chart as a picture to save: every lane, and below them the pens and the words given.

export interface Caption {
  colour: string;
  text: string;
}

const LONGEST = 160;

export function picture(lanes: HTMLCanvasElement[], captions: Caption[], words: string): HTMLCanvasElement {
  const sheet = document.createElement("canvas");
  const ratio = devicePixelRatio;
  sheet.width = Math.max(...lanes.map((part) => part.width));
  sheet.height = lanes.reduce((total, part) => total + part.height, 0) + (40 + 20 * captions.length) * ratio;
  const ink = sheet.getContext("2d");
  if (!ink) return sheet;
  const style = getComputedStyle(document.body);
  ink.fillStyle = style.backgroundColor;
  ink.fillRect(0, 0, sheet.width, sheet.height);
  let top = 0;
  for (const part of lanes) {
    ink.drawImage(part, 0, top);
    top += part.height;
  }
  ink.font = `${13 * ratio}px system-ui, sans-serif`;
  for (const { colour, text } of captions) {
    top += 20 * ratio;
    ink.fillStyle = colour;
    ink.fillRect(12 * ratio, top - 9 * ratio, 10 * ratio, 10 * ratio);
    ink.fillStyle = style.color;
    ink.fillText(text.slice(0, LONGEST), 30 * ratio, top);
  }
  ink.fillStyle = style.color;
  ink.fillText(words, 12 * ratio, top + 26 * ratio);
  return sheet;
}
