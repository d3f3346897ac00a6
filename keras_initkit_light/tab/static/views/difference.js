// Two runs, or two steps of one run: how many times each layer's value is the other's.

import { LineChart } from '../charts/lines.js';
import { fill, h, notice, select } from '../dom.js';
import { commonSteps, firstParting, growth, ratioOf, sideBySide } from '../difference.js';
import { factor, short } from '../format.js';
import { depthAxis, display, emptyRange, frameAt, include, isWanted, layerOf, stepsOf } from '../model.js';
import { figure, signalSelect, SignalView, statisticSelect, tipTable, WEIGHTS } from './common.js';

const ITS_FIRST = '/'; // no run has this name
const MOST_ROWS = 12;
// What tells where runs part: a number that differs differs in the rms of its tensor, too.
const TELLING = 'rms';

export class DifferenceView extends SignalView {
  constructor(app) {
    super(app);
    this._controls = h('div.controls');
    this._verdict = h('p.parting', { role: 'status' });
    this._ratios = new LineChart({
      label: 'Ratio of one to the other, layer by layer; arrow keys move from layer to layer',
      onpick: (at) => app.set({ layer: layerOf(this._rows[at].name) }),
    });
    this._growth = new LineChart({
      label: 'Largest relative difference over the steps; arrow keys move from step to step',
      onpick: (step) => app.set({ step: String(step) }),
    });
    this._captions = [h('strong'), h('strong')];
    this._pair = h('div.pair', {},
      figure('Ratio', this._captions[0], this._ratios.element),
      figure('Largest relative difference', this._captions[1], this._growth.element));
    this._table = h('div.scroll');
    this._empty = h('div');
    this.element = h('div', {}, this._controls, this._verdict, this._empty, this._pair, this._table);
  }

  /** The run that is compared, and the run or first step that it is compared with. */
  get sides() {
    const { app } = this;
    const run = app.focused;
    const others = app.runs.filter((one) => one !== run);
    const { against } = app.values;
    const named = others.find((one) => one.name === against);
    const usual = app.shown.find((one) => one !== run);
    return { run, others, other: against === ITS_FIRST ? run : (named ?? usual ?? run) };
  }

  steps() {
    const { run, other } = this.sides;
    const [ours, theirs] = [run, other].map((one) => this._parts(one));
    if (!ours.length || !theirs.length) return stepsOf([{ parts: ours }]);
    return run === other ? stepsOf([{ parts: ours }]) : commonSteps(ours, theirs);
  }

  _parts(run) {
    return this._entry().data?.get(run.run)?.parts ?? [];
  }

  update() {
    const { app } = this;
    const { run, other, others } = this.sides;
    this._updateControls(run, other, others);
    const runs = this.runs();
    const [ours, theirs] = [run, other].map((one) => this._parts(one));
    const steps = this.steps();
    const missing = this.missing(runs) ?? (steps.length ? null : ['Nothing to compare', `${run.name} and ${other.name} have no step of ${this.signal} in common.`]);
    for (const part of [this._pair, this._table, this._verdict]) part.hidden = missing !== null;
    fill(this._empty, missing && notice(...missing));
    if (missing) return;
    const step = steps.findLast((one) => one <= app.step) ?? steps[0];
    const first = frameAt(theirs, run === other ? steps[0] : step);
    const { rows, byPlace } = sideBySide(frameAt(ours, step), first);
    this._rows = rows.filter(({ name }) => isWanted(name, app.values.weights, run));
    this._names = run === other ? [`step ${step}`, `step ${first.step}`] : [run.name, other.name];
    this._step = step;
    this._showVerdict(run, other, byPlace);
    this._showRatios(run);
    this._showGrowth(run, other, ours, theirs, steps);
    this._updateTable();
  }

  _updateControls(run, other, others) {
    const { app, signal } = this;
    const memo = JSON.stringify([run.name, other.name, others.map(({ name }) => name), signal, this.statistic, app.values.weights, app.signals()]);
    if (memo === this._memo) return;
    this._memo = memo;
    const names = app.runs.map(({ name }) => [name, name]);
    fill(
      this._controls,
      select('Run', names, run.name, (value) => app.set({ run: value, hidden: app.values.hidden.filter((name) => name !== value) })),
      select('against', [[ITS_FIRST, 'its own first step'], ...others.map(({ name }) => [name, name])], other === run ? ITS_FIRST : other.name, (value) => app.set({ against: value })),
      signalSelect(app, 'Signal', signal, (value) => app.set({ signal: value })),
      statisticSelect(app, signal, this.statistic, (value) => app.set({ stat: value })),
      select('Weights', WEIGHTS, app.values.weights, (value) => app.set({ weights: value })),
    );
  }

  /** Whether the statistic is a size, of which one can be many times another. */
  get _isSize() {
    const about = this.app.index.statistics[this.statistic];
    return about?.minimum === 0 && about.unit !== '1';
  }

  _showVerdict(run, other, byPlace) {
    const place = byPlace ? ' Layers are matched by position, because Keras numbered them differently.' : '';
    const lone = this._lone(run, other);
    fill(this._verdict, this._parting(run, other), place, lone);
  }

  /** Where two runs part first, in a sentence. */
  _parting(run, other) {
    if (run === other) return `${run.name} at step ${this._step}, against its own first step.`;
    const { api } = this.app;
    const signals = this.app.signals();
    const entries = signals.map((signal) =>
      [run, other].map((one) => api.statistic(signal, TELLING, 'statistics', one.run)));
    if (entries.flat().some(({ loading }) => loading)) return 'Looking for the first difference…';
    const series = entries.map(([ours, theirs], i) => ({
      signal: signals[i],
      ours: ours.data?.get(run.run)?.parts ?? [],
      theirs: theirs.data?.get(other.run)?.parts ?? [],
    }));
    const data = series.flatMap(({ ours, theirs }) => [ours, theirs]);
    if (this._known?.data.length !== data.length || data.some((one, i) => one !== this._known.data[i])) {
      this._known = { data, first: firstParting(series) };
    }
    const { first } = this._known;
    const scope = `by ${TELLING}, at the steps shown; record.diff(other) compares everything recorded`;
    if (!first) return `Nothing differs (${scope}).`;
    return [
      'They first differ at ',
      h('strong', {}, `step ${first.step}, ${first.signal} ${display(first.name)}`),
      `: ${TELLING} ${short(first.ours)} in ${run.name}, ${short(first.theirs)} in ${other.name} (${scope}).`,
    ];
  }

  /** Layers that only one of the two has. */
  _lone(run, other) {
    if (run === other) return '';
    const [ours, theirs] = [run, other].map((one) => frameAt(this._parts(one), this._step).names);
    const shared = new Set(this._rows.flatMap(({ name, other: twin }) => [name, twin]));
    const lone = [[run, ours], [other, theirs]].flatMap(([one, names]) => {
      const alone = names.filter((name) => !shared.has(name) && isWanted(name, this.app.values.weights, one));
      return alone.length ? [` Only in ${one.name}: ${alone.length} of ${names.length}.`] : [];
    });
    return lone.join('');
  }

  /** What is drawn of a row: a ratio of sizes, a difference of what may be negative or is a share. */
  _apart({ ours, theirs }) {
    return this._isSize ? ratioOf(ours, theirs) : ours - theirs;
  }

  _showRatios(run) {
    const { app } = this;
    const values = this._rows.map((row) => this._apart(row));
    const range = emptyRange();
    for (const value of [...values, this._isSize ? 1 : 0]) include(range, value);
    const names = this._rows.map(({ name }) => name);
    const axis = depthAxis([names], 'name');
    const last = names.length - 1;
    const level = this._isSize ? 1 : 0;
    const sign = this._isSize ? '÷' : '−';
    fill(this._captions[0], `${this.signal} ${this.statistic.replaceAll('_', ' ')}: ${this._names.join(` ${sign} `)}, layer by layer`);
    this._ratios.show({
      x: axis.x,
      y: { kind: this._isSize ? 'log' : 'symlog', range },
      lines: [
        { color: 'gray', dash: [6, 4], width: 1.4, quiet: true, points: last >= 0 ? [[0, level], [last, level]] : [] },
        { label: this._names.join(` ${sign} `), color: run.color, dash: run.dash, dots: names.length <= 80, points: values.map((value, i) => [i, value]) },
      ],
      marks: names.flatMap((name, i) => (app.values.layer && layerOf(name) === app.values.layer ? [i] : [])).slice(0, 4),
      height: 340,
      tip: (at) => this._tip(this._rows[at]),
    });
  }

  _tip(row) {
    if (!row) return [];
    return [
      h('div.tip-title', {}, display(row.name)),
      tipTable(null, [
        ...this._names.map((name, i) => ({ name, values: [i ? row.theirs : row.ours] })),
        { name: this._isSize ? 'ratio' : 'difference', strong: true, values: [this._text(row)] },
      ]),
    ];
  }

  _text(row) {
    const apart = this._apart(row);
    return this._isSize ? factor(apart) : short(apart);
  }

  _showGrowth(run, other, ours, theirs, steps) {
    const { app } = this;
    const wanted = (name) => isWanted(name, app.values.weights, run);
    const frame = frameAt(ours, steps[0]);
    const still = { names: frame.names, steps, values: new Float32Array(steps.length * frame.names.length) };
    if (run === other) steps.forEach((_, i) => still.values.set(frame.row, i * frame.names.length));
    const points = growth(ours, run === other ? [still] : theirs, wanted);
    const range = emptyRange();
    for (const [, value] of points) include(range, value);
    const text = run === other ? 'from its first step' : 'at the same step';
    fill(this._captions[1], `Largest relative difference ${text}, over the layers`);
    this._growth.show({
      x: { low: steps[0], high: steps.at(-1), title: 'step' },
      y: { kind: 'log', range },
      lines: [{ label: 'largest relative difference', color: run.color, dash: run.dash, points }],
      marks: [this._step],
      height: 340,
      tip: (at) => [h('div.tip-title', {}, `step ${at}`), h('div', {}, short(points.find(([step]) => step === at)?.[1]))],
    });
  }

  _updateTable() {
    const size = (row) => {
      const apart = this._apart(row);
      const value = Math.abs(this._isSize ? Math.log(apart) : apart);
      return Number.isNaN(value) ? Infinity : value;
    };
    const sorted = [...this._rows].sort((a, b) => size(b) - size(a)).slice(0, MOST_ROWS);
    fill(
      this._table,
      h(
        'table.summary',
        {},
        h('caption', {}, `Largest differences, at step ${this._step}`),
        h('tr', {}, ['layer', ...this._names, this._isSize ? 'ratio' : 'difference'].map((text) => h('th', { scope: 'col' }, text))),
        sorted.map((row) =>
          h('tr', {}, h('td', {}, display(row.name)), [row.ours, row.theirs].map((value) => h('td.number', {}, short(value))), h('td.number', {}, this._text(row)))),
      ),
    );
  }

  csv() {
    const rows = [['signal', 'statistic', 'step', 'tensor', ...(this._names ?? []), this._isSize ? 'ratio' : 'difference']];
    for (const row of this._rows ?? []) {
      rows.push([this.signal, this.statistic, this._step, row.name, row.ours, row.theirs, this._apart(row)]);
    }
    return rows;
  }
}
