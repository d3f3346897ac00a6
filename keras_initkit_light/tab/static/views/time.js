// Sequence layers: how large a signal is at each time step, forward and backward.

import { HeatMap, legend } from '../charts/heatmap.js';
import { LineChart } from '../charts/lines.js';
import { makeScale } from '../charts/scale.js';
import { fill, h, notice, select, swatch } from '../dom.js';
import { factor, short } from '../format.js';
import { display, emptyRange, frameAt, include, layerOf, stepsOf } from '../model.js';
import { tipTable, waiting } from './common.js';

export class TimeView {
  constructor(app) {
    this.app = app;
    this._controls = h('div.controls');
    this._panels = new Map();
    this._pair = h('div.pair');
    this._hint = h(
      'p.hint', {},
      'Left: the forward signal; right: the back-propagated gradient. A gradient that reaches only the last time steps ' +
        'vanishes through time: the layer cannot learn from early inputs. Thick: now; dotted: step 0.',
    );
    this._table = h('div.scroll');
    this._empty = h('div');
    this.element = h('div', {}, this._controls, this._hint, this._empty, this._pair, this._table);
  }

  /** The charts of each signal that some run has time steps of. */
  panels() {
    return this.app.signals('time').map((signal) => {
      if (!this._panels.has(signal)) this._panels.set(signal, new Panel(this.app, signal));
      return this._panels.get(signal);
    });
  }

  tensors() {
    const lists = this.app.shown.flatMap((run) =>
      run.series.filter((one) => one.kind === 'time').map((one) => this.app.index.tables[one.tensors]),
    );
    return [...new Set(lists.flat())];
  }

  get tensor() {
    const tensors = this.tensors();
    return tensors.find((name) => layerOf(name) === this.app.values.layer) ?? tensors[0];
  }

  steps() {
    const { tensor } = this;
    return tensor === undefined ? null : stepsOf(this.panels().flatMap((panel) => panel.runs(tensor)));
  }

  update() {
    const { tensor } = this;
    this._updateControls();
    const none = tensor === undefined;
    for (const part of [this._pair, this._hint, this._table]) part.hidden = none;
    fill(
      this._empty,
      none &&
        notice(
          'No sequence layers here',
          'The selected runs have no record of signals through time. It is kept for layers whose output has a time axis (recurrent, attention, 1D convolution).',
        ),
    );
    if (none) return;
    const panels = this.panels();
    const key = panels.map(({ signal }) => signal).join();
    if (key !== this._shownKey) {
      this._shownKey = key;
      fill(this._pair, panels.map((panel) => panel.element));
    }
    for (const panel of panels) panel.update(tensor);
    this._updateTable(panels.filter(({ shown }) => shown.length));
  }

  _updateControls() {
    const { app, tensor } = this;
    const tensors = this.tensors();
    const key = JSON.stringify([tensor, tensors]);
    if (key === this._key) return;
    this._key = key;
    const layers = tensors.map((name) => [layerOf(name), display(name)]);
    fill(this._controls, tensor !== undefined && select('Layer', layers, layerOf(tensor), (value) => app.set({ layer: value })));
  }

  _updateTable(panels) {
    const { app } = this;
    fill(
      this._table,
      panels.length > 0 &&
        h(
          'table.summary',
          {},
          h('caption', {}, 'From the last time step back to the first, at the chosen step'),
          h('tr', {}, h('th', {}, 'run'), panels.map(({ signal }) => h('th', { colspan: 2 }, signal))),
          app.shown.map((run) => {
            const lines = panels.map(({ shown }) => shown.find((one) => one.run === run));
            return lines.some(Boolean) && h('tr', {}, h('td.tip-name', {}, swatch(run.color), run.name), lines.map(summary));
          }),
        ),
    );
  }

  csv() {
    const rows = [['run', 'signal', 'tensor', 'step', 'time step', 'rms']];
    for (const { signal, shown } of this.panels()) {
      for (const { run, step, points } of shown) {
        for (const [time, value] of points) rows.push([run.name, signal, this.tensor, step, time, value]);
      }
    }
    return rows;
  }
}

/** How a line changes on its way back, as two cells. */
function summary(line) {
  if (!line?.points.length) return h('td', { colspan: 2 }, '—');
  const [first, last] = [line.points[0][1], line.points.at(-1)[1]];
  const ratio = first / last;
  const extreme = !(Math.abs(Math.log10(ratio)) < 3);
  return [
    h('td.number', {}, `${short(last)} → ${short(first)}`),
    h('td', { class: `number ${extreme ? 'extreme' : ''}` }, factor(ratio)),
  ];
}

/** One signal: its lines over the time steps, and the time steps of one run over training. */
class Panel {
  constructor(app, signal) {
    this.app = app;
    this.signal = signal;
    this.shown = [];
    this._lines = new LineChart({ label: `${signal} over the time steps`, onpick: () => {} });
    this._map = new HeatMap({
      label: `${signal}: time steps over training steps`,
      onpick: (column) => app.set({ step: String(this._columns[column]) }),
    });
    this._legend = h('canvas', { role: 'img', 'aria-label': 'Color key' });
    this._caption = h('figcaption');
    this._figure = h(
      'figure', {},
      h('figcaption', {}, h('strong', {}, `${signal} rms at each time step`), h('p.muted', {}, app.index.signals[signal].description)),
      this._lines.element,
    );
    this._mapFigure = h('figure', {}, this._caption, this._map.element, this._legend);
    this._body = h('div', {}, this._figure, this._mapFigure);
    this._empty = h('div');
    this.element = h('div', {}, this._body, this._empty);
  }

  runs(tensor) {
    return this.app.partsOf(this._entry(tensor).data);
  }

  _entry(tensor) {
    return this.app.api.tensor('time', this.signal, tensor);
  }

  update(tensor) {
    const { app, signal } = this;
    const runs = this.runs(tensor);
    const missing = waiting(this._entry(tensor), runs.length, [
      `No ${signal} here`, `None of the selected runs has recorded ${signal} of ${display(tensor)} through time.`,
    ]);
    this._body.hidden = missing !== null;
    fill(this._empty, missing && notice(...missing));
    this.shown = [];
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

  _showLines(runs, range) {
    const lines = runs.flatMap(({ run, parts }) => {
      const now = frameAt(parts, this.app.step);
      const first = frameAt(parts, parts[0].steps[0]);
      if (!now) return [];
      const points = (frame) => [...frame.row.subarray(0, lengthOf(parts.at(-1)))].map((value, i) => [i, value]);
      return [
        first.step < now.step && { label: `${run.name}, first step`, color: run.color, dash: [1.5, 3], width: 1.4, points: points(first), quiet: true },
        { run, step: now.step, label: run.name, color: run.color, dash: run.dash, width: 2.2, points: points(now) },
      ].filter(Boolean);
    });
    const last = Math.max(1, ...lines.map(({ points }) => points.length - 1));
    this.shown = lines.filter(({ run }) => run);
    this._lines.show({
      x: { low: 0, high: last, title: 'time step' },
      y: { kind: 'log', range },
      lines,
      height: 260,
      tip: (at, nearest) => [
        h('div.tip-title', {}, `time step ${at}`),
        tipTable(
          null,
          this.shown.flatMap((one) =>
            one.points[at]
              ? [{ color: one.color, name: `${one.run.name}, step ${one.step}`, strong: nearest === one, values: [one.points[at][1]] }]
              : [],
          ),
        ),
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
    fill(this._caption, swatch(run.color), h('span.name', {}, run.name), h('span.muted', {}, 'time steps (last on top) over training'));
    this._mapFigure.dataset.title = `${run.name}: ${this.signal}, time steps over training`;
    this._map.show({
      names: Array.from({ length }, (_, row) => String(length - 1 - row)),
      steps: this._columns,
      value,
      scale,
      height: 200,
      markedRow: -1,
      markedStep: Number.isFinite(this.app.step) ? this.app.step : null,
      tip: (column, row) => [
        h('div.tip-title', {}, `time step ${length - 1 - row}, step ${this._columns[column]}`),
        tipTable(null, [{ color: run.color, name: run.name, values: [value(column, row)] }]),
      ],
    });
    legend(this._legend, scale, 'rms', range);
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
