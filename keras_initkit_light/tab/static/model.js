// Pure functions from replies to what charts show. A "frame" is one step of one run:
// `{names, step, row}` with one value a name.

import { commonPrefix } from './format.js';

/** The label of a tensor as people read it. */
export function display(label) {
  return label.replace(/%(25|3A|40|D[89A-F][0-9A-F]{2})/g, (_, code) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}

/** The layer that a tensor's label begins with. */
export function layerOf(label) {
  return display(/^[^:@]*/.exec(label)[0]);
}

/**
 * The weights of a run that are vectors (biases, scales) and those that are not, by their
 * roles in the record: `Map(label -> whether it is one)`. A role that is not known is none.
 */
export function vectorsOf(run, index) {
  const vectors = new Map();
  for (const { tensors, roles } of run.series) {
    index.tables[roles].forEach((role, i) => {
      vectors.set(index.tables[tensors][i], index.roles.vectors.includes(role));
    });
  }
  return vectors;
}

/** Whether a tensor of a run belongs to the chosen weights; tensors of layers always do. */
export function isWanted(label, weights, run) {
  if (weights === 'all' || !run.vectors.has(label)) return true;
  return run.vectors.get(label) === (weights === 'biases');
}

/** The newest frame at or before `step`, `null` if the run begins later. */
export function frameAt(parts, step) {
  for (let p = parts.length - 1; p >= 0; p--) {
    const { names, steps, values } = parts[p];
    if (!(steps[0] <= step)) continue;
    let low = 0;
    let high = steps.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (steps[middle] <= step) low = middle;
      else high = middle;
    }
    const row = values.subarray(low * names.length, (low + 1) * names.length);
    return { names, step: steps[low], row };
  }
  return null;
}

/** All steps of some runs, ascending. */
export function stepsOf(runs) {
  const steps = new Set();
  for (const { parts } of runs) {
    for (const part of parts) for (const step of part.steps) steps.add(step);
  }
  return [...steps].sort((a, b) => a - b);
}

/** One value over the steps: `{steps, values}`; steps where it is absent are left out. */
export function history(parts, name) {
  const steps = [];
  const values = [];
  for (const part of parts) {
    const column = part.names.indexOf(name);
    if (column < 0) continue;
    part.steps.forEach((step, i) => {
      steps.push(step);
      values.push(part.values[i * part.names.length + column]);
    });
  }
  return { steps, values };
}

/** One order for the names of several models: each keeps its own, gaps are filled. */
export function mergeOrder(lists) {
  const order = [];
  const longestFirst = [...new Set(lists)].sort((a, b) => b.length - a.length);
  for (const list of longestFirst) {
    let place = 0;
    for (const name of list) {
      const known = order.indexOf(name);
      if (known >= 0) place = known + 1;
      else order.splice(place++, 0, name);
    }
  }
  return order;
}

/** Layers without the name of their model, which Keras numbers: "sequential_3/dense". */
export function stems(list) {
  const { length } = commonPrefix(list);
  return list.map((name) => name.slice(length));
}

/**
 * An axis for the layers of several models, of lists of names: `{x, at(list, i)}`, `x`
 * being what a chart takes and `at` the place of the i-th name of a list.
 *
 * `wanted`: "name", "position", "depth" (the share of the way through a model, in
 * percent), or "auto": by name where one model has all layers of all others, in their
 * order, the names of the models apart; else by depth, for layers of other models in between would say nothing.
 */
export function depthAxis(lists, wanted = 'auto') {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  if (wanted === 'position') {
    return { x: { names: Array.from({ length: longest }, (_, i) => String(i + 1)) }, at: (_, i) => i };
  }
  const own = new Map(lists.map((list) => [list, stems(list)]));
  const order = mergeOrder([...own.values()]);
  const places = new Map(order.map((name, i) => [name, i]));
  const isOrdered = (list) => list.every((name, i) => !i || places.get(list[i - 1]) < places.get(name));
  if (wanted === 'name' || (wanted === 'auto' && order.length === longest && [...own.values()].every(isOrdered))) {
    return { x: { names: order.map(display) }, at: (list, i) => places.get(own.get(list)[i]) };
  }
  return {
    x: { low: 0, high: 100, title: 'depth %' },
    at: (list, i) => (list.length > 1 ? (100 * i) / (list.length - 1) : 50),
  };
}

const PLACES = new WeakMap();

/** The values of a frame for some names, `null` where it has none. */
export function valuesOf(frame, names) {
  if (!PLACES.has(frame.names)) PLACES.set(frame.names, new Map(frame.names.map((name, i) => [name, i])));
  const places = PLACES.get(frame.names);
  return names.map((name) => (places.has(name) ? frame.row[places.get(name)] : null));
}

/** What a scale must make room for. */
export function emptyRange() {
  return { low: Infinity, high: -Infinity, least: Infinity, zero: false, nonfinite: false };
}

/** Widens `range` to a value. `least` is the smallest magnitude that is not 0. */
export function include(range, value) {
  if (!Number.isFinite(value)) {
    range.nonfinite = true;
    return;
  }
  if (value < range.low) range.low = value;
  if (value > range.high) range.high = value;
  if (value === 0) {
    range.zero = true;
    return;
  }
  const size = Math.abs(value);
  if (size < range.least) range.least = size;
}

const RANGES = new WeakMap();

/** The range of all values of a part of a run that are wanted, over all its steps. */
function rangeOfPart(part, weights, run) {
  let known = RANGES.get(part);
  if (!known) RANGES.set(part, (known = {}));
  if (known[weights]) return known[weights];
  const range = emptyRange();
  const wanted = part.names.map((name) => isWanted(name, weights, run));
  for (let i = 0, j = 0; i < part.values.length; i++) {
    if (wanted[j]) include(range, part.values[i]);
    if (++j === wanted.length) j = 0;
  }
  return (known[weights] = range);
}

/** The range of all values of some runs. */
export function rangeOf(runs, weights = 'all') {
  const total = emptyRange();
  for (const { run, parts } of runs) {
    for (const part of parts) {
      const range = rangeOfPart(part, weights, run);
      total.low = Math.min(total.low, range.low);
      total.high = Math.max(total.high, range.high);
      total.least = Math.min(total.least, range.least);
      total.zero ||= range.zero;
      total.nonfinite ||= range.nonfinite;
    }
  }
  return total;
}

// How many times as wide as most values all of them may be.
const ROOM = 4;

/**
 * The range of most values: all lists count alike, and the extremes of a few values,
 * such as those of a run that explodes, do not flatten all others.
 */
export function robustRange(lists) {
  const total = emptyRange();
  const finite = [];
  for (const list of lists) {
    const stride = Math.max(1, Math.floor(list.length / 1000));
    for (let i = 0; i < list.length; i += stride) {
      if (!Number.isFinite(list[i])) total.nonfinite = true;
      else if (list[i] === 0) total.zero = true;
      else finite.push(list[i]);
    }
  }
  finite.sort((a, b) => a - b);
  if (finite.length) {
    const ends = [quantile(finite, 0.02), quantile(finite, 0.97)];
    // Extremes that leave the others room enough are no reason to cut.
    const isWide = finite.at(-1) - finite[0] > ROOM * (ends[1] - ends[0]);
    for (const end of isWide ? ends : [finite[0], finite.at(-1)]) include(total, end);
    const sizes = finite.map(Math.abs).sort((a, b) => a - b);
    total.least = quantile(sizes, 0.02);
  }
  if (total.zero) {
    total.low = Math.min(total.low, 0);
    total.high = Math.max(total.high, 0);
  }
  return total;
}

/** The unbroken pieces of a line, `[[x, y]...]` each: it ends where a value is not finite. */
export function pieces(xs, ys) {
  const found = [];
  for (let i = 0; i < xs.length; i++) {
    if (!Number.isFinite(ys[i])) continue;
    if (!Number.isFinite(ys[i - 1])) found.push([]);
    found.at(-1).push([xs[i], ys[i]]);
  }
  return found;
}

/** The kind of scale that suits a metric. */
export function metricScale({ low, high }) {
  return low > 0 && high / low > 100 ? 'log' : 'linear';
}

/** The kind of scale that suits a statistic. */
export function scaleKind(statistic, chosen) {
  const signed = statistic && statistic.minimum === '-Infinity';
  if (chosen === 'linear') return 'linear';
  if (chosen === 'log') return signed ? 'symlog' : 'log';
  if (statistic?.unit === '1') return 'linear';
  return signed ? 'symlog' : 'log';
}

/** Quantile of sorted numbers, linear between them. */
export function quantile(sorted, q) {
  if (!sorted.length) return undefined;
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  if (sorted[low] === sorted[high]) return sorted[low];
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/** Median, lowest and highest of the values; those that are not finite count as ∞. */
export function spread(values) {
  if (!values.length) return null;
  const sorted = values
    .map((value) => (Number.isFinite(value) ? value : Infinity))
    .sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), low: sorted[0], high: sorted.at(-1) };
}

const FORWARD = ['activation', 'preactivation', 'inference'];

/**
 * Which sizes are healthy, by the places of an axis: `[[x, level]...]`.
 *
 * In theory a signal keeps its size through the layers, from where it comes: the first
 * layer or, backwards, the last. Of weights and their gradients no theory tells: the
 * median of several runs whose layers have the same names. Of two runs that are further
 * apart than `apart` times, neither tells which is healthy: there is no level.
 */
export function healthyLevels(signal, lines, byName, apart) {
  const places = [...new Set(lines.flatMap(({ at }) => at))].sort((a, b) => a - b);
  if (places.length < 2) return [];
  const median = (values) => {
    const sizes = values.filter((value) => value !== null && Number.isFinite(value) && value > 0);
    if (!sizes.length) return undefined;
    const logs = sizes.map(Math.log).sort((a, b) => a - b);
    return logs.length === 2 && logs[1] - logs[0] > Math.log(apart) ? undefined : Math.exp(quantile(logs, 0.5));
  };
  if (FORWARD.includes(signal) || signal === 'backprop') {
    const level = median(lines.map(({ values }) => values.at(signal === 'backprop' ? -1 : 0)));
    return level === undefined ? [] : [places[0], places.at(-1)].map((x) => [x, level]);
  }
  if (!byName || lines.length < 2) return [];
  const levels = places.map((x) => [x, median(lines.map(({ at, values }) => values[at.indexOf(x)] ?? null))]);
  return levels.every(([, level]) => level !== undefined) ? levels : [];
}

/** First and last value of a profile, and their ratio. */
export function throughDepth(values) {
  const there = values.filter((value) => value !== null);
  if (there.length < 2) return null;
  const [first, last] = [there[0], there.at(-1)];
  return { first, last, ratio: last / first };
}
