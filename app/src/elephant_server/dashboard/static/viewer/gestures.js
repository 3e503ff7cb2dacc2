// What mouse, trackpad and fingers do over a plane.

const PER_SLICE = 50; // a notch of a wheel is more, a trackpad adds up to it
const PER_LINE = 20;
const SCROLLING_MS = 250;

let scrolledAt = -Infinity;
document.addEventListener('scroll', () => { scrolledAt = performance.now(); }, { passive: true });

/**
 * Listen to a canvas; `act` has the functions
 * point(x, y): somebody points there; pan(dx, dy); zoom(factor, x, y); step(by): go on by slices. All in CSS pixels.
 */
export function listen(canvas, act) {
  const fingers = new Map();
  let isPanning = false, turned = 0;
  const place = (event) => ({ x: event.offsetX, y: event.offsetY });

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button > 1) return;
    if (event.button === 1) event.preventDefault(); // it would scroll by itself
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, place(event));
    isPanning = event.button === 1 || event.shiftKey;
    if (!isPanning && fingers.size === 1) act.point(event.offsetX, event.offsetY);
  });
  canvas.addEventListener('pointermove', (event) => {
    const before = fingers.get(event.pointerId), now = place(event);
    if (!before) return;
    fingers.set(event.pointerId, now);
    if (fingers.size === 2) {
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      act.zoom(apart(now, other) / apart(before, other), (now.x + other.x) / 2, (now.y + other.y) / 2);
      act.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    } else if (isPanning) act.pan(now.x - before.x, now.y - before.y);
    else act.point(now.x, now.y);
  });
  for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));

  canvas.addEventListener('wheel', (event) => {
    // Who scrolls the page past a plane goes on doing so.
    if (performance.now() - scrolledAt < SCROLLING_MS && !event.ctrlKey) return;
    event.preventDefault();
    const by = (event.deltaY || event.deltaX) * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? PER_LINE : 1);
    if (event.ctrlKey || event.metaKey) { // a trackpad's pinch comes as a wheel with Ctrl
      act.zoom(Math.exp(-Math.max(-100, Math.min(100, by)) / 200), event.offsetX, event.offsetY);
      return;
    }
    turned += by;
    if (Math.abs(turned) < PER_SLICE) return;
    act.step(Math.sign(turned));
    turned = 0;
  }, { passive: false });
}

function apart(a, b) { return Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)); }
