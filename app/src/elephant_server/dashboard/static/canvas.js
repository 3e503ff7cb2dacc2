// Canvases as sharp as the screen, and the page's colours.

/** Fit a canvas' pixels to its size on the page; return its context, in CSS pixels, and that size. */
export function fit(canvas) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const { clientWidth: width, clientHeight: height } = canvas;
  const wanted = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) [canvas.width, canvas.height] = wanted;
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Call a function when the colours or the size of things may have changed. */
export function onLookChange(call) {
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', call);
  window.addEventListener('resize', call);
}
