// Layer × step for each run, and the histogram of one layer over the steps.

import { HeatMap, legend } from '../charts/heatmap.js';
import { makeScale } from '../charts/scale.js';
import { fill, h, notice, select, swatch } from '../dom.js';
import { powerOfTen, short } from '../format.js';
import { display, isWanted, layerOf, rangeOf, robustRange, scaleKind } from '../model.js';
import { SCALES, signalSelect, SignalView, statisticSelect, tipTable, waiting, WEIGHTS } from './common.js';

const MOST_MAPS = 12;

export class HeatView extends SignalView {
  constructor(app) {
    super(app);
    this._controls = h('div.controls');
    this._legend = h('canvas', { 'aria-label': 'Color key', role: 'img' });
    this._maps = new Map();
    this._grid = h('div.grid');
    this._empty = h('div');
    this._histogram = new Histogram(app);
    this.element = h(
      'div', {}, this._controls,
      h('figure', { 'data-title': '' }, this._legend),
      this._grid, this._empty, this._histogram.element,
    );
  }

  update() {
    const { app, signal, statistic } = this;
    this._updateControls();
    const runs = this.runs();
    const missing = this.missing(runs);
    this._grid.hidden = missing !== null;
    fill(this._empty, missing && notice(...missing));
    if (missing) return;
    const range = this._range(runs, app.values.weights);
    const kind = scaleKind(app.index.statistics[statistic], app.values.scale);
    if (kind === 'symlog') {
      const size = Math.max(-range.low, range.high);
      [range.low, range.high] = [-size, size];
    }
    const key = JSON.stringify([kind, range]);
    if (key !== this._scaleKey) {
      this._scaleKey = key;
      this._scale = makeScale(kind, range, 5);
    }
    legend(this._legend, this._scale, `${signal} ${statistic.replaceAll('_', ' ')}`, range);
    this._updateGrid(runs);
    for (const one of runs.slice(0, MOST_MAPS)) this._show(one);
    this._histogram.update(signal);
  }

  /** One range of colours for all runs. */
  _range(runs, weights) {
    const lists = runs.map(({ run, parts }) => {
      const { rows, steps, value } = tableOf(parts, weights, run);
      const stride = Math.max(1, Math.floor((rows.length * steps.length) / 1000));
      const values = [];
      for (let i = 0; i < rows.length * steps.length; i += stride) {
        const one = value(Math.floor(i / rows.length), i % rows.length);
        if (one !== null) values.push(one);
      }
      return values;
    });
    const robust = robustRange(lists);
    const { zero, nonfinite } = rangeOf(runs, weights);
    return { ...robust, zero, nonfinite };
  }

  _updateControls() {
    const { app, signal } = this;
    const { stat, scale, weights } = app.values;
    const key = JSON.stringify([signal, stat, scale, weights, app.signals(), app.statistics(signal)]);
    if (key === this._key) return;
    this._key = key;
    fill(
      this._controls,
      signalSelect(app, 'Signal', signal, (value) => app.set({ signal: value })),
      statisticSelect(app, signal, this.statistic, (value) => app.set({ stat: value })),
      select('Scale', SCALES, scale, (value) => app.set({ scale: value })),
      select('Weights', WEIGHTS, weights, (value) => app.set({ weights: value })),
      h('span.muted', {}, 'Layers from the input (top) to the output; steps to the right. Click a row for its histogram.'),
    );
  }

  _updateGrid(runs) {
    const shown = runs.slice(0, MOST_MAPS).map(({ run }) => run);
    const key = JSON.stringify([shown.map(({ name, color }) => [name, color]), runs.length]);
    if (key === this._gridKey) return;
    this._gridKey = key;
    for (const run of shown) {
      if (this._maps.has(run.name)) continue;
      const map = new HeatMap({
        label: `${run.name}: layers over steps; arrow keys move from cell to cell`,
        onpick: (column, row) => this._pick(run.name, column, row),
      });
      this._maps.set(run.name, map);
    }
    fill(
      this._grid,
      shown.map((run) =>
        h(
          'figure',
          { 'data-title': run.name },
          h('figcaption', {}, swatch(run.color), h('span.name', { title: run.name }, run.name)),
          this._maps.get(run.name).element,
        ),
      ),
      runs.length > MOST_MAPS &&
        h('p.hint', {}, `${runs.length - MOST_MAPS} more runs are selected; the first ${MOST_MAPS} are shown.`),
    );
  }

  _show({ run, parts }) {
    const { app } = this;
    const table = tableOf(parts, app.values.weights, run);
    const map = this._maps.get(run.name);
    const layer = app.values.layer;
    map.show({
      names: table.rows.map(display),
      steps: table.steps,
      value: table.value,
      scale: this._scale,
      height: Math.max(120, Math.min(520, 30 + table.rows.length * 13)),
      markedRow: layer && run === app.focused ? table.rows.findIndex((name) => layerOf(name) === layer) : -1,
      markedStep: Number.isFinite(app.step) ? app.step : null,
      tip: (column, row) => [
        h('div.tip-title', {}, display(table.rows[row])),
        tipTable(null, [{ color: run.color, name: `${run.name}, step ${table.steps[column]}`, values: [table.value(column, row)] }]),
      ],
    });
  }

  _pick(name, column, row) {
    const { app } = this;
    const found = this.runs().find(({ run }) => run.name === name);
    if (!found) return;
    const table = tableOf(found.parts, app.values.weights, found.run);
    app.set({ run: name, layer: layerOf(table.rows[row]), step: String(table.steps[column]) });
  }

  csv() {
    const rows = [['run', 'signal', 'statistic', 'step', 'tensor', 'value']];
    for (const { run, parts } of this.runs()) {
      const table = tableOf(parts, this.app.values.weights, run);
      table.steps.forEach((step, column) =>
        table.rows.forEach((name, row) => {
          const value = table.value(column, row);
          if (value !== null) rows.push([run.name, this.signal, this.statistic, step, name, value]);
        }),
      );
    }
    return rows;
  }
}

const TABLES = new WeakMap();

/** Parts of a run as one table: `{rows, steps, value(column, row)}`. */
function tableOf(parts, weights, run) {
  let known = TABLES.get(parts);
  if (!known) TABLES.set(parts, (known = {}));
  if (known[weights]) return known[weights];
  const rows = [...new Set(parts.flatMap((part) => part.names))].filter((name) => isWanted(name, weights, run));
  const steps = parts.flatMap((part) => part.steps);
  const columns = parts.flatMap((part) => {
    const places = rows.map((name) => part.names.indexOf(name));
    return part.steps.map((_, i) => ({ part, places, start: i * part.names.length }));
  });
  const value = (column, row) => {
    const { part, places, start } = columns[column];
    return places[row] < 0 ? null : part.values[start + places[row]];
  };
  return (known[weights] = { rows, steps, value });
}

/** The magnitudes of one layer's values over the steps. */
class Histogram {
  constructor(app) {
    this.app = app;
    this._caption = h('figcaption');
    this._map = new HeatMap({
      label: 'Magnitudes over steps; arrow keys move from cell to cell',
      onpick: (column) => app.set({ step: String(this._steps[column]) }),
    });
    this._empty = h('div');
    this.element = h('figure.card', { hidden: true }, this._caption, this._map.element, this._empty);
  }

  update(signal) {
    const { app } = this;
    const { focused } = app;
    const series = focused?.series.filter((one) => one.kind === 'histogram' && one.signal === signal) ?? [];
    const tensors = [...new Set(series.flatMap((one) => app.index.tables[one.tensors]))];
    this.element.hidden = !focused;
    if (!focused) return;
    const layer = app.values.layer || layerOf(tensors[Math.floor(tensors.length / 2)] ?? '');
    const tensor = tensors.find((name) => layerOf(name) === layer && isWanted(name, app.values.weights, focused));
    this._updateCaption(signal, focused, tensors, tensor, layer);
    const entry = tensor === undefined ? null : app.api.tensor('histogram', signal, tensor, focused.run);
    const parts = entry?.data?.get(focused.run)?.parts;
    const empty = ['No histogram', layer ? `No histogram of ${signal} was recorded for ${layer} in ${focused.name}.` : `No histogram of ${signal} was recorded in ${focused.name}.`];
    const missing = entry ? waiting(entry, parts?.length, empty) : empty;
    this._map.element.hidden = missing !== null;
    fill(this._empty, missing && notice(...missing));
    if (!missing) this._show(parts);
  }

  _updateCaption(signal, run, tensors, tensor, layer) {
    const key = JSON.stringify([signal, run.name, run.color, tensor, layer, tensors.length]);
    if (key === this._key) return;
    this._key = key;
    const { app } = this;
    this.element.dataset.title = `Magnitudes of ${signal} of ${tensor ?? layer}, ${run.name}`;
    const layers = [...new Set(tensors.map(layerOf))];
    fill(
      this._caption,
      h('strong', {}, `How large the values of one layer are: ${signal}`),
      select('Layer', layers.map((name) => [name, name]), layer, (value) => app.set({ layer: value })),
      swatch(run.color),
      h('span.name', {}, run.name),
      h('span.muted', {}, 'Share of values by magnitude (brighter: more), zeros below, NaN and ∞ above.'),
    );
  }

  /** Magnitudes from large (top) to small, without the empty ends. */
  _show(parts) {
    const { steps, value, rows } = tableOf(parts, 'all');
    this._steps = steps;
    const octaves = rows.map((name, i) => [name, i]).filter(([name]) => name.startsWith('2^'));
    const filled = octaves.filter(([, i]) => steps.some((_, column) => value(column, i) > 0)).map(([, i]) => i);
    const [low, high] = filled.length ? [filled[0] - 1, filled.at(-1) + 1] : [octaves[60]?.[1] ?? 0, octaves[66]?.[1] ?? 0];
    const kept = octaves.filter(([, i]) => i >= low && i <= high).reverse();
    const at = (name) => rows.indexOf(name);
    const beside = ['nonfinite', 'above'].filter((name) => at(name) >= 0 && steps.some((_, c) => value(c, at(name)) > 0));
    const below = ['below', 'zero'].filter((name) => at(name) >= 0 && steps.some((_, c) => value(c, at(name)) > 0));
    const list = [...beside.map((name) => [name, at(name)]), ...kept, ...below.map((name) => [name, at(name)])];
    let most = 0;
    for (const [, i] of list) {
      for (let column = 0; column < steps.length; column++) most = Math.max(most, value(column, i));
    }
    // Shares of a few thousandths are to be seen, too.
    const scale = { kind: 'linear', at: (share) => Math.sqrt(share / most) };
    const cells = (column, row) => {
      const share = value(column, list[row][1]);
      if (!share) return null;
      return list[row][0] === 'nonfinite' ? NaN : share;
    };
    this._picked = { list, steps, value };
    const key = JSON.stringify(list);
    if (this._cells?.parts !== parts || this._cells.key !== key) this._cells = { parts, key, cells, scale };
    const { app } = this;
    this._map.show({
      names: list.map(([name]) => octaveText(name)),
      steps,
      value: this._cells.cells,
      scale: this._cells.scale,
      height: Math.max(160, Math.min(420, 30 + list.length * 13)),
      markedRow: -1,
      markedStep: Number.isFinite(app.step) ? app.step : null,
      tip: (column, row) => [
        h('div.tip-title', {}, `${octaveRange(list[row][0])}, step ${steps[column]}`),
        h('div', {}, `share of the values: ${short(value(column, list[row][1]))}`),
      ],
    });
  }
}

const OTHERS = { nonfinite: 'NaN, ∞', above: 'larger', below: 'smaller', zero: 'zero' };

/** "2^-3" as "2⁻³". */
function octaveText(name) {
  return name.startsWith('2^') ? powerOfTen(Number(name.slice(2)), 2) : (OTHERS[name] ?? name);
}

/** The magnitudes of an octave. */
function octaveRange(name) {
  if (!name.startsWith('2^')) return OTHERS[name] ?? name;
  const least = 2 ** Number(name.slice(2));
  return `magnitudes from ${short(least)} to ${short(2 * least)}`;
}
