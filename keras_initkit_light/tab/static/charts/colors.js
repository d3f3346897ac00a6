// Colours of values. Viridis keeps its order for every kind of colour vision and in
// grey; red is in none of its colours and is kept for what is not finite.

const VIRIDIS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];
// For values with a sign: blue, white, orange.
const DIVERGING = [
  [5, 48, 97], [67, 147, 195], [209, 229, 240], [247, 247, 247],
  [253, 219, 170], [230, 145, 56], [127, 59, 8],
];
export const NONFINITE = [229, 30, 37];
export const ZERO = [17, 17, 20];

function along(stops, t) {
  const at = Math.min(1, Math.max(0, t)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  return stops[i].map((c, k) => Math.round(c + (stops[i + 1][k] - c) * (at - i)));
}

/** A table of 256 colours. */
function table(stops) {
  return Array.from({ length: 256 }, (_, i) => along(stops, i / 255));
}

export const SEQUENTIAL = table(VIRIDIS);
export const SIGNED = table(DIVERGING);

/** The colour of a value on a scale: `[red, green, blue]`. */
export function colorOf(value, scale) {
  if (!Number.isFinite(value)) return NONFINITE;
  const at = scale.at(value);
  if (at === null) return ZERO;
  const colors = scale.kind === 'symlog' ? SIGNED : SEQUENTIAL;
  return colors[Math.min(255, Math.max(0, Math.round(at * 255)))];
}

export function css([red, green, blue]) {
  return `rgb(${red},${green},${blue})`;
}

// Where colours come round again, lines differ by their dashes; dots and even dashes are
// kept for step 0 and theory.
export const DASHES = [[], [14, 3], [14, 3, 3, 3], [14, 3, 3, 3, 3, 3], [28, 4], [28, 4, 4, 4]];

/** The dashes of the n-th line of a colour, from 0. */
export function dashOf(n) {
  return DASHES[n % DASHES.length];
}
