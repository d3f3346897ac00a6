// Sequence layers: how large a signal is at each time step.

import { HeatMap, legend } from '../charts/heatmap.js';
import { LineChart } from '../charts/lines.js';
import { makeScale } from '../charts/scale.js';
import { fill, h, notice, select, swatch } from '../dom.js';
import { display, emptyRange, frameAt, include, layerOf, stepsOf } from '../model.js';
import { tipTable, waiting } from './common.js';

export class TimeView {
  constructor(app) {
    this.app = app;
    this._controls = h('div.controls');
    this._lines = new LineChart({ label: 'Signal over the time steps', onpick: () => {} });
    this._map = new HeatMap({
      label: 'Time steps over training steps',
      onpick: (column) => app.set({ step: String(this._columns[column]) }),
    });
    this._legend = h('canvas', { role: 'img', 'aria-label': 'Key to the colours' });
    this._mapCaption = h('figcaption');
    this._body = h(
      'div.pair',
      {},
      (this._figure = h('figure', {}, h('figcaption', {}, h('strong', {}, 'rms at each time step, at the chosen training step')), this._lines.element)),
      h('figure', {}, this._mapCaption, this._map.element, this._legend),
    );
    this._hint = h(
      'p.hint', {},
      'Gradients that reach only the last time steps vanish through time: the layer cannot learn from what came early.',
    );
    this._empty = h('div');
    this.element = h('div', {}, this._controls, this._empty, this._body, this._hint);
  }

  get signal() {
    const signals = this.app.signals('time');
    const { signal, second } = this.app.values;
    return signals.find((one) => one === signal) ?? signals.find((one) => one === second) ?? signals[0] ?? '';
  }

  tensors() {
    const { app, signal } = this;
    const lists = app.shown.flatMap((run) =>
      run.series
        .filter((one) => one.kind === 'time' && one.signal === signal)
        .map((one) => app.index.tables[one.tensors]),
    );
    return [...new Set(lists.flat())];
  }

  get tensor() {
    const tensors = this.tensors();
    return tensors.find((name) => layerOf(name) === this.app.values.layer) ?? tensors[0];
  }

  entry() {
    return this.app.api.tensors('time', this.signal, this.tensor);
  }

  steps() {
    return this.tensor === undefined ? null : stepsOf(this.app.partsOf(this.entry().data));
  }

  update() {
    const { app, signal, tensor } = this;
    this._updateControls();
    const empty = [
      'No sequence layers here',
      'The selected runs have no record of signals through time. It is kept for layers whose output has a time axis (recurrent, attention, 1D convolution).',
    ];
    const runs = tensor === undefined ? [] : app.partsOf(this.entry().data);
    const missing = tensor === undefined ? empty : waiting(this.entry(), runs.length, empty);
    for (const part of [this._body, this._hint]) part.hidden = missing !== null;
    fill(this._empty, missing && notice(...missing));
    if (missing) return;
    const range = emptyRange();
    for (const { parts } of runs) {
      for (const part of parts) {
        const length = lengthOf(part);
        part.values.forEach((value, i) => i % part.names.length < length && include(range, value));
      }
    }
    this._figure.dataset.title = `${signal} rms of ${display(tensor)} through time`;
    this._showLines(runs, range);
    this._showMap(runs.find(({ run }) => run === app.focused) ?? runs[0], range);
  }

  _updateControls() {
    const { app, signal, tensor } = this;
    const key = JSON.stringify([signal, tensor, this.tensors(), app.signals('time')]);
    if (key === this._key) return;
    this._key = key;
    fill(
      this._controls,
      tensor !== undefined && [
        select('Signal', app.signals('time').map((name) => [name, name, app.index.signals[name].description]), signal, (value) => app.set({ signal: value })),
        select('Layer', this.tensors().map((name) => [layerOf(name), display(name)]), layerOf(tensor), (value) => app.set({ layer: value })),
      ],
    );
  }

  _showLines(runs, range) {
    const lines = runs.flatMap(({ run, parts }) => {
      const now = frameAt(parts, this.app.step);
      const first = frameAt(parts, parts[0].steps[0]);
      if (!now) return [];
      const points = (frame) => [...frame.row.subarray(0, lengthOf(parts.at(-1)))].map((value, i) => [i, value]);
      return [
        first.step < now.step && { color: run.color, dash: [1.5, 3], width: 1.4, points: points(first), quiet: true },
        { run, step: now.step, color: run.color, dash: run.dash, width: 2.2, points: points(now) },
      ].filter(Boolean);
    });
    const last = Math.max(1, ...lines.map(({ points }) => points.length - 1));
    this._shown = lines.filter(({ run }) => run);
    this._lines.show({
      x: { low: 0, high: last, title: 'time step' },
      y: { kind: 'log', range },
      lines,
      height: 320,
      tip: (at, nearest) => [
        h('div.tip-title', {}, `time step ${at}`),
        tipTable(null, this._shown.flatMap((one) => (one.points[at] ? [{ color: one.color, name: `${one.run.name}, step ${one.step}`, strong: nearest === one, values: [one.points[at][1]] }] : []))),
      ],
    });
  }

  _showMap({ run, parts }, range) {
    const columns = parts.flatMap((part) => part.steps.map((step, i) => ({ step, part, i })));
    const length = Math.max(...parts.map(lengthOf));
    this._columns = columns.map(({ step }) => step);
    const value = (column, row) => {
      const { part, i } = columns[column];
      // The last time step is on top.
      const at = length - 1 - row;
      return at < lengthOf(part) ? part.values[i * part.names.length + at] : null;
    };
    const scale = makeScale('log', range, 5);
    fill(this._mapCaption, swatch(run.color), h('span.name', {}, run.name), h('span.muted', {}, 'time steps (last on top) over training'));
    this._mapCaption.parentElement.dataset.title = `${run.name}: time steps over training`;
    this._map.show({
      names: Array.from({ length }, (_, row) => String(length - 1 - row)),
      steps: this._columns,
      value,
      scale,
      height: 280,
      markedRow: -1,
      markedStep: Number.isFinite(this.app.step) ? this.app.step : null,
      tip: (column, row) => [
        h('div.tip-title', {}, `time step ${length - 1 - row}, step ${this._columns[column]}`),
        tipTable(null, [{ color: run.color, name: run.name, values: [value(column, row)] }]),
      ],
    });
    legend(this._legend, scale, 'rms', range);
  }

  csv() {
    const rows = [['run', 'signal', 'tensor', 'step', 'time step', 'rms']];
    for (const { run, step, points } of this._shown ?? []) {
      for (const [time, value] of points) rows.push([run.name, this.signal, this.tensor, step, time, value]);
    }
    return rows;
  }
}

const LENGTHS = new WeakMap();

/** How many time steps a part really has: columns that are NaN at all steps are padding. */
function lengthOf(part) {
  if (LENGTHS.has(part)) return LENGTHS.get(part);
  const width = part.names.length;
  let length = 0;
  part.values.forEach((value, i) => {
    if (!Number.isNaN(value)) length = Math.max(length, (i % width) + 1);
  });
  LENGTHS.set(part, length);
  return length;
}
