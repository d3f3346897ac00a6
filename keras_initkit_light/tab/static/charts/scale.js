// Scales: from values to the unit interval, with ticks.

import { powerOfTen, short } from '../format.js';

/**
 * Returns `{at(value), ticks, kind}`; `at` gives 0 to 1 for finite values, and for a log
 * scale `null` for 0.
 */
export function makeScale(kind, range, count = 6) {
  if (kind === 'log') return logScale(range, count);
  if (kind === 'symlog') return symlogScale(range, count);
  return linearScale(range.low, range.high, count);
}

export function linearScale(low, high, count = 6) {
  if (!(low <= high)) [low, high] = [0, 1];
  if (low === high) {
    const margin = Math.abs(low) / 2 || 0.5;
    [low, high] = [low - margin, high + margin];
  }
  const step = niceStep((high - low) / count);
  const ticks = [];
  const decades = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high)))) - Math.floor(Math.log10(step));
  const digits = Math.min(9, Math.max(3, decades + 1));
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    ticks.push({ value: i * step, text: short(Number((i * step).toPrecision(12)), digits) });
  }
  const at = (value) => (value - low) / (high - low);
  return { kind: 'linear', at, ticks, low, high };
}

/** A scale over steps, which are whole numbers: one alone is in the middle. */
export function stepScale(low, high, count = 6) {
  if (low === high) {
    return { kind: 'linear', at: () => 0.5, ticks: [{ value: low, text: short(low) }], low, high };
  }
  return linearScale(low, high, Math.min(count, high - low));
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
}

// A flat profile is to look flat: never less than this many powers of ten.
const LEAST_DECADES = 2;

function logScale(range, count) {
  let low = Math.log10(range.least);
  let high = Math.log10(range.high);
  if (!(low <= high)) [low, high] = [-1, 1];
  const missing = LEAST_DECADES - (high - low);
  if (missing > 0) [low, high] = [low - missing / 2, high + missing / 2];
  else [low, high] = [low - 0.15, high + 0.15];
  const step = Math.max(1, Math.ceil((high - low) / count));
  const ticks = [];
  for (let e = Math.ceil(low / step) * step; e <= high; e += step) {
    ticks.push({ value: 10 ** e, text: powerOfTen(e) });
  }
  const at = (value) =>
    value > 0 ? Math.min(1, Math.max(0, (Math.log10(value) - low) / (high - low))) : null;
  return { kind: 'log', at, ticks, low: 10 ** low, high: 10 ** high };
}

/** Logarithmic on both sides of 0, linear around it. */
function symlogScale(range, count) {
  const size = Math.max(Math.abs(range.low), Math.abs(range.high)) || 1;
  const smallest = Number.isFinite(range.least) ? range.least : size;
  const unit = 10 ** Math.floor(Math.log10(Math.max(smallest, size * 1e-6)));
  const bend = (value) => Math.sign(value) * Math.log10(1 + Math.abs(value) / unit);
  let [low, high] = [bend(range.low), bend(range.high)];
  if (!(low < high)) [low, high] = [-bend(size), bend(size)];
  const exponents = [];
  for (let e = Math.log10(unit); e <= Math.log10(size) + 1; e++) exponents.push(Math.round(e));
  const every = Math.max(1, Math.ceil((2 * exponents.length) / count));
  const ticks = [{ value: 0, text: '0' }];
  exponents.forEach((e, i) => {
    if (i % every !== every - 1) return;
    if (bend(10 ** e) <= high) ticks.push({ value: 10 ** e, text: powerOfTen(e) });
    if (-bend(10 ** e) >= low) ticks.push({ value: -(10 ** e), text: `−${powerOfTen(e)}` });
  });
  const visible = ticks.filter(({ value }) => bend(value) >= low && bend(value) <= high);
  const at = (value) => (bend(value) - low) / (high - low);
  return { kind: 'symlog', at, ticks: visible, low: range.low, high: range.high };
}
