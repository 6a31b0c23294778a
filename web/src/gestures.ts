// Moving the window with fingers, mouse and wheel. While it moves the chart follows; at its end new readings are fetched.

export interface Span {
  from: number;
  to: number;
}

export interface Moves {
  now(): Span;
  /** Seconds of the window that a pixel is. */
  perPixel(): number;
  follow(span: Span): void;
  settle(span: Span): void;
}

const STILL_PIXELS = 4;
const NEAREST_PIXELS = 24;
const WHEEL_MS = 120;
const WHEEL_FACTOR = 1.3;

/** One finger moves, two zoom about what is under them; of a mouse only the presses that `takes` says. */
export function movable(element: HTMLElement, takes: (event: PointerEvent) => boolean, moves: Moves): void {
  const down = new Map<number, number>();
  let start: { span: Span; per: number; at: [number, number][] } | null = null;
  let moving: Span | null = null;
  const begin = (): void => {
    start = down.size ? { span: moves.now(), per: moves.perPixel(), at: [...down] } : null;
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" && !takes(event)) return;
    element.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event.clientX);
    begin();
  });
  element.addEventListener("pointermove", (event) => {
    if (!start || !down.has(event.pointerId)) return;
    down.set(event.pointerId, event.clientX);
    const [one, other] = start.at.map(([pointer, was]) => ({ was, is: down.get(pointer) ?? was }));
    if (!one || (!moving && Math.abs(one.is - one.was) < STILL_PIXELS && !other)) return;
    moving = other ? zoomed(start.span, start.per, element.getBoundingClientRect().left, one, other) : shifted(start.span, (one.was - one.is) * start.per);
    moves.follow(moving);
  });
  const end = (event: PointerEvent): void => {
    if (!down.delete(event.pointerId)) return;
    if (!down.size && moving) moves.settle(moving);
    if (!down.size) moving = null;
    begin();
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
}

/** The wheel zooms about where it is turned; with Shift, or turned sideways, it moves. */
export function wheeled(element: HTMLElement, timeAt: (event: WheelEvent) => number, moves: Moves): void {
  let timer = 0;
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { from, to } = moves.now();
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      let next: Span;
      if (Math.abs(sideways) > Math.abs(event.deltaY) || event.shiftKey) next = shifted({ from, to }, sideways * moves.perPixel());
      else {
        const at = timeAt(event);
        const factor = event.deltaY > 0 ? WHEEL_FACTOR : 1 / WHEEL_FACTOR;
        next = { from: at - (at - from) * factor, to: at + (to - at) * factor };
      }
      moves.follow(next);
      clearTimeout(timer);
      timer = window.setTimeout(() => moves.settle(next), WHEEL_MS);
    },
    { passive: false },
  );
}

const shifted = ({ from, to }: Span, by: number): Span => ({ from: from + by, to: to + by });

interface Finger {
  was: number;
  is: number;
}

/** The times under both fingers stay under them. */
function zoomed({ from, to }: Span, per: number, edge: number, one: Finger, other: Finger): Span {
  const timeAt = (finger: Finger): number => from + (finger.was - edge) * per;
  const apart = Math.sign(other.was - one.was) * Math.max(NEAREST_PIXELS, Math.abs(other.is - one.is));
  const wide = (timeAt(other) - timeAt(one)) / apart;
  if (!(wide > 0)) return { from, to };
  const left = timeAt(one) - (one.is - edge) * wide;
  return { from: left, to: left + ((to - from) / per) * wide };
}
