// Pure functions: how two runs, or two steps of one, differ, tensor by tensor.

import { frameAt, stepsOf } from './model.js';

// In which order the parts of a train step come about, as `RunRecord.diff` has it.
const PHASES = { weight: 0, preactivation: 1, activation: 1, metrics: 2, backprop: 3, gradient: 4, update: 5 };
const BACKWARD = ['backprop', 'gradient'];

/** A label without the numbers that Keras puts behind the names of layers. */
function unnumbered(label) {
  const path = /^[^:@]*/.exec(label)[0];
  return path.split('/').map((part) => part.replace(/_\d+$/, '')).join('/') + label.slice(path.length);
}

/**
 * Which names of two lists are the same tensor: `{pairs: [[i, j]...], byPlace}`. By name,
 * or by place where the names differ in nothing but Keras's numbers.
 */
export function matched(ours, theirs) {
  const places = new Map(theirs.map((name, j) => [name, j]));
  const same = ours.length === theirs.length && ours.every((name) => places.has(name));
  const alike = ours.length === theirs.length && ours.every((name, i) => unnumbered(name) === unnumbered(theirs[i]));
  if (!same && alike) return { pairs: ours.map((_, i) => [i, i]), byPlace: true };
  const pairs = ours.flatMap((name, i) => (places.has(name) ? [[i, places.get(name)]] : []));
  return { pairs, byPlace: false };
}

/** Whether two numbers count as the same: NaN equals NaN. */
function isSame(one, other) {
  return one === other || (Number.isNaN(one) && Number.isNaN(other));
}

/** How many times one size is another; 1 where both are 0. */
export function ratioOf(one, other) {
  return isSame(one, other) ? 1 : one / other;
}

/** How far two numbers are apart, over the larger magnitude of the two. */
export function relative(one, other) {
  if (isSame(one, other)) return 0;
  const apart = Math.abs(one - other);
  return Number.isFinite(apart) ? apart / Math.max(Math.abs(one), Math.abs(other)) : Infinity;
}

/** The steps that both have, ascending. */
export function commonSteps(ours, theirs) {
  const there = new Set(stepsOf([{ parts: theirs }]));
  return stepsOf([{ parts: ours }]).filter((step) => there.has(step));
}

/** The values of both at two steps: `[{name, other, ours, theirs}]`, and `byPlace`. */
export function sideBySide(ours, theirs) {
  const { pairs, byPlace } = matched(ours.names, theirs.names);
  const rows = pairs.map(([i, j]) => ({
    name: ours.names[i], other: theirs.names[j], ours: ours.row[i], theirs: theirs.row[j], place: i,
  }));
  return { rows, byPlace };
}

/** The largest relative difference at each step that both have: `[[step, value]...]`. */
export function growth(ours, theirs, isWanted = () => true) {
  return commonSteps(ours, theirs).map((step) => {
    const { rows } = sideBySide(frameAt(ours, step), frameAt(theirs, step));
    const apart = rows.filter(({ name }) => isWanted(name)).map((row) => relative(row.ours, row.theirs));
    return [step, Math.max(0, ...apart)];
  });
}

/** What a tensor is sorted by within a step. */
function rankOf(signal, { name, place }, forward) {
  if (BACKWARD.includes(signal)) return [PHASES[signal], -place];
  if (PHASES[signal] === 1) {
    return [1, forward.get(name) ?? place, signal === 'activation' ? 1 : 0];
  }
  return [PHASES[signal] ?? 6, place];
}

function isAhead(one, other) {
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    if ((one[i] ?? 0) !== (other[i] ?? 0)) return (one[i] ?? 0) < (other[i] ?? 0);
  }
  return false;
}

/**
 * The first number in which two runs differ, in the order of the steps and of a train
 * step: `{step, signal, name, ours, theirs}`, `null` if none does.
 *
 * `series`: `[{signal, ours, theirs}]` with the parts of both runs.
 */
export function firstParting(series) {
  const activations = series.find(({ signal }) => signal === 'activation')?.ours.at(-1)?.names ?? [];
  const forward = new Map(activations.map((name, i) => [name, i]));
  let first = null;
  for (const { signal, ours, theirs } of series) {
    for (const step of commonSteps(ours, theirs)) {
      if (first && step > first.rank[0]) break;
      const { rows } = sideBySide(frameAt(ours, step), frameAt(theirs, step));
      const apart = rows
        .filter((row) => !isSame(row.ours, row.theirs))
        .map((row) => ({ step, signal, ...row, rank: [step, ...rankOf(signal, row, forward)] }));
      for (const one of apart) if (!first || isAhead(one.rank, first.rank)) first = one;
      if (apart.length) break;
    }
  }
  return first;
}
