// Planes to pixels: grey values between two limits, labels and probabilities over them.

export const LABELS = { 1: [210, 69, 59], 2: [47, 158, 88], 3: [60, 125, 240] };
const ALPHA = { 1: 0.22, 2: 0.5, 3: 0.5 };
const PROBABILITIES = [[47, 190, 98], [80, 145, 255]]; // border, centre

/** Return an ImageData of a plane, and of what lies over it (each may be missing). */
export function paint(image, labels, probabilities, [low, high]) {
  const data = new ImageData(image.columns, image.rows);
  const pixels = data.data;
  const gain = 255 / Math.max(1, high - low);
  for (let i = 0; i < image.values.length; i += 1) {
    const grey = (image.values[i] - low) * gain;
    pixels[4 * i] = pixels[4 * i + 1] = pixels[4 * i + 2] = grey;
    pixels[4 * i + 3] = 255;
  }
  if (probabilities) paintProbabilities(pixels, probabilities);
  if (labels) paintLabels(pixels, labels);
  return data;
}

function paintLabels(pixels, { values }) {
  for (let i = 0; i < values.length; i += 1) {
    if (values[i] === 0) continue;
    const kind = ((values[i] - 1) % 3) + 1;
    blend(pixels, i, LABELS[kind], values[i] > 3 ? ALPHA[kind] / 2 : ALPHA[kind]); // 4 to 6: of a false annotation
  }
}

function paintProbabilities(pixels, { values, channels }) {
  for (let i = 0; i < values.length / channels; i += 1) {
    for (let c = 0; c < 2; c += 1) {
      const value = values[channels * i + c];
      if (value > 12) blend(pixels, i, PROBABILITIES[c], (0.6 * value) / 255);
    }
  }
}

function blend(pixels, i, colour, alpha) {
  for (let c = 0; c < 3; c += 1) pixels[4 * i + c] += alpha * (colour[c] - pixels[4 * i + c]);
}

/** Return limits that show a plane well: all but its darkest and its brightest values. */
export function goodLimits({ values }) {
  const stride = Math.max(1, Math.floor(values.length / 50000));
  const sample = [];
  for (let i = 0; i < values.length; i += stride) sample.push(values[i]);
  sample.sort((a, b) => a - b);
  const at = (part) => sample[Math.min(sample.length - 1, Math.floor(part * sample.length))];
  const low = at(0.02), high = at(0.998);
  return high > low ? [low, high] : [low, low + 1];
}
