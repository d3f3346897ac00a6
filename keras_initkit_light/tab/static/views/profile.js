// Depth profile: layers in forward order against a statistic, forward and backward.

import { themeColors } from '../charts/canvas.js';
import { LineChart } from '../charts/lines.js';
import { checkbox, fill, h, notice, select, swatch } from '../dom.js';
import { factor, short } from '../format.js';
import {
  depthAxis, display, emptyRange, frameAt, healthyLevels, history, include, isWanted, layerOf, rangeOf, scaleKind, stepsOf,
  throughDepth, valuesOf,
} from '../model.js';
import { SCALES, signalSelect, SignalView, statisticSelect, tipTable, WEIGHTS } from './common.js';
import { faultsOf, findingLine, findingsOf, worstOf } from './findings.js';

const MOST_PINNED = 12; // more runs than this: no lines for step 0 and theory
const VERDICTS = 4;
// A signal that keeps its size stays within ten times: `PoorWeightInitialization` calls a
// drift of two decades poor, however slow.
const KEPT = 10;

export class ProfileView {
  constructor(app) {
    this.app = app;
    this._controls = h('div.controls');
    this._verdict = h('div.verdict');
    this._key = h('div.key', { 'aria-label': 'Key to the lines' });
    this._charts = [new Profile(app, 'signal'), new Profile(app, 'second')];
    this._layer = new LayerHistory(app);
    this._table = h('div.scroll');
    this.element = h(
      'div',
      {},
      this._verdict,
      this._controls,
      this._key,
      h('div.pair', {}, this._charts.map((chart) => chart.element)),
      this._layer.element,
      this._table,
    );
  }

  steps() {
    return stepsOf(this._charts.flatMap((chart) => chart.runs()));
  }

  update() {
    this._updateControls();
    this._updateVerdict();
    for (const chart of this._charts) chart.update();
    this._updateKey();
    this._layer.update(this._charts.filter((chart) => chart.signal));
    this._updateTable();
  }

  _updateControls() {
    const { app } = this;
    const { stat, scale, weights, x, pinned, theory } = app.values;
    const key = JSON.stringify([stat, scale, weights, x, pinned, theory, app.shown.length, app.statistics(this._charts[0].signal), app.signals('prediction')]);
    if (key === this._shownKey) return;
    this._shownKey = key;
    fill(
      this._controls,
      statisticSelect(app, this._charts[0].signal, stat, (value) => app.set({ stat: value })),
      select('Scale', SCALES, scale, (value) => app.set({ scale: value })),
      select('Weights', WEIGHTS, weights, (value) => app.set({ weights: value }), 'Which weights represent a layer in the signals of weights'),
      select(
        'Layers by',
        [
          ['auto', 'auto', 'By name, or by depth where models have other layers'],
          ['name', 'name'],
          ['position', 'position', 'First, second, third...'],
          ['depth', 'depth', 'Relative depth within each model'],
        ],
        x,
        (value) => app.set({ x: value }),
      ),
      checkbox('step 0', pinned, (value) => app.set({ pinned: value }), 'Show the first step beside the chosen one'),
      app.signals('prediction').length > 0 &&
        checkbox('theory', theory, (value) => app.set({ theory: value }), 'Show what theory predicts at initialization (dashed)'),
    );
  }

  /** The key to what the charts draw, and to nothing else. */
  _updateKey() {
    const lines = this._charts.flatMap((chart) => chart.lines ?? []);
    const has = {
      band: this._charts.some((chart) => chart.hasBand),
      first: lines.some(({ first }) => first),
      theory: lines.some(({ theory }) => theory),
    };
    const key = JSON.stringify(has);
    if (key === this._drawnKey) return;
    this._drawnKey = key;
    fill(
      this._key,
      has.band && h('span', { title: 'Signals: up to 10 times larger or smaller than at their origin, the first layer or, backward, the last one. Weights and their gradients: than the median of the runs.' }, h('span.band'), 'healthy'),
      lineKey('now', 'solid', 3),
      has.first && lineKey('first step', 'dotted'),
      has.theory && lineKey('theory, at the first step', 'dashed'),
    );
  }

  /** The worst finding of each run in words, once where several runs share it. */
  _updateVerdict() {
    const { app } = this;
    const faults = faultsOf(findingsOf(app)).filter(({ severity }) => severity !== 'info');
    const worst = new Map();
    for (const { members } of faults) if (!worst.has(members[0].run)) worst.set(members[0].run, members);
    const alike = Map.groupBy(worst.values(), ([{ finding }]) => `${finding.severity} ${finding.rule}`);
    const shown = [...alike.values()].slice(0, VERDICTS);
    const clean = this._clean();
    this._verdict.hidden = !shown.length && !clean;
    fill(
      this._verdict,
      clean && h('span', {}, h('span.badge.fine', {}, '✓'), ` ${clean}`),
      shown.map(([members, ...others]) => findingLine(app, members[0], others.map(([{ run }]) => run.name), members.length - 1)),
      faults.length > shown.length &&
        h('button.link', { onclick: () => app.set({ view: 'findings' }) }, `all ${faults.length} findings`),
    );
  }

  /** What is said where the rules have judged all shown runs and found nothing. */
  _clean() {
    const { data } = this.app.api.findings();
    const worst = this.app.shown.map((run) => worstOf(data, run)?.severity);
    if (!worst.length || !worst.every((one) => one === 'fine')) return '';
    return `The rules found nothing wrong with ${worst.length === 1 ? 'this run' : `these ${worst.length} runs`}.`;
  }

  _updateTable() {
    const { app } = this;
    const charts = this._charts.filter((chart) => chart.lines?.length);
    fill(
      this._table,
      charts.length > 0 &&
        h(
          'table.summary',
          {},
          h('caption', {}, 'From the first to the last layer, at the chosen step'),
          h(
            'tr',
            {},
            h('th', {}, 'run'),
            h('th', {}, 'step'),
            charts.map((chart) => h('th', { colspan: 2 }, `${chart.signal} ${chart.statistic.replaceAll('_', ' ')}`)),
          ),
          app.shown.map((run) => this._summary(run, charts)),
        ),
    );
  }

  _summary(run, charts) {
    const lines = charts.map((chart) => chart.lines.find((one) => one.run === run));
    if (!lines.some(Boolean)) return null;
    return h(
      'tr',
      {},
      h('td.tip-name', {}, swatch(run.color), run.name),
      h('td.number', {}, Math.max(...lines.filter(Boolean).map((one) => one.step))),
      lines.map((one, i) => {
        const ends = one && throughDepth(one.values);
        if (!ends) return h('td', { colspan: 2 }, '—');
        const broken = one.values.filter((value) => value !== null && !Number.isFinite(value)).length;
        const extreme = broken || !(Math.abs(Math.log10(ends.ratio)) < 3);
        const log = scaleKind(this.app.index.statistics[charts[i].statistic], 'auto') === 'log';
        return [
          h('td.number', {}, `${short(ends.first)} → ${short(ends.last)}`),
          h('td.number', { class: `number ${extreme && log ? 'extreme' : ''}` }, broken ? `not finite in ${broken}` : log ? factor(ends.ratio) : ''),
        ];
      }),
    );
  }

  csv() {
    const rows = [['run', 'signal', 'statistic', 'step', 'position', 'tensor', 'value', 'at step 0']];
    for (const chart of this._charts) {
      for (const { run, step, names, values, first } of chart.lines ?? []) {
        names.forEach((name, i) => {
          if (values[i] !== null) rows.push([run.name, chart.signal, chart.statistic, step, i, name, values[i], first?.[i]]);
        });
      }
    }
    return rows;
  }
}

/** What a style of lines means. */
function lineKey(text, style, width = 2) {
  return h('span', {}, h('span.line', { style: `border-top: ${width}px ${style}` }), text);
}

/** One chart: a signal's profile at the chosen step. */
class Profile extends SignalView {
  constructor(app, key) {
    super(app);
    this._key = key;
    this._caption = h('figcaption');
    this._chart = new LineChart({
      label: 'Profile over the layers; arrow keys move from layer to layer',
      onpick: (at, line) => this._pick(at, line),
    });
    this._empty = h('div');
    this.element = h('figure', {}, this._caption, this._chart.element, this._empty);
  }

  get signal() {
    const wanted = this.app.values[this._key];
    const signals = this.app.signals();
    if (wanted === '' || signals.includes(wanted)) return wanted;
    if (this._key === 'second') return signals.includes('gradient') ? 'gradient' : '';
    return signals[0] ?? '';
  }

  update() {
    this._updateCaption();
    this.lines = [];
    this.element.classList.toggle('folded', !this.signal);
    if (!this.signal) return this._state(h('span'));
    const runs = this.runs();
    const missing = this.missing(runs);
    if (missing) return this._state(notice(...missing));
    this._state(null);
    this._lines(runs);
    return this._show(runs);
  }

  _state(message) {
    this._chart.element.hidden = message !== null;
    fill(this._empty, message);
  }

  _updateCaption() {
    const { app, signal, statistic } = this;
    const key = JSON.stringify([signal, statistic, app.signals()]);
    if (key === this._captionKey) return;
    this._captionKey = key;
    const second = this._key === 'second';
    this.element.dataset.title = `${signal} ${statistic}`;
    fill(
      this._caption,
      signalSelect(app, second ? 'Second signal' : 'Signal', signal, (value) => app.set({ [this._key]: value }), 'statistics', second ? [['', 'none']] : []),
      signal && h('strong', {}, `${signal} ${statistic.replaceAll('_', ' ')}`),
      signal && h('p.muted', {}, app.index.signals[signal].description),
    );
  }

  /** Lines of all runs over one axis of layers. */
  _lines(runs) {
    const { app } = this;
    const { weights, x, pinned } = app.values;
    const few = runs.length <= MOST_PINNED;
    const predicted = few && app.values.theory && this.statistic === 'rms' && app.signals('prediction').includes(this.signal)
      ? app.api.statistic(this.signal, 'rms', 'prediction').data
      : null;
    const frames = runs.map(({ run, parts }) => ({
      run,
      now: frameAt(parts, app.step),
      first: frameAt(parts, parts[0].steps[0]),
      theory: predicted?.get(run.run) ? frameAt(predicted.get(run.run).parts, Infinity) : null,
    })).filter(({ now }) => now);
    const lists = frames.map(({ run, now }) => this._names(now.names, weights, run));
    this._axis = depthAxis(lists, x);
    const showFirst = pinned && few;
    this.lines = frames.map(({ run, now, first, theory }, i) => ({
      run,
      step: now.step,
      names: lists[i],
      at: lists[i].map((_, j) => this._axis.at(lists[i], j)),
      values: valuesOf(now, lists[i]),
      first: first.step < now.step && showFirst ? valuesOf(first, lists[i]) : null,
      theory: theory ? valuesOf(theory, lists[i]) : null,
    }));
  }

  _names(names, weights, run) {
    this._cache ??= new WeakMap();
    let known = this._cache.get(run.vectors);
    if (!known) this._cache.set(run.vectors, (known = new WeakMap()));
    if (!known.has(names)) known.set(names, {});
    return (known.get(names)[weights] ??= names.filter((name) => isWanted(name, weights, run)));
  }

  _show(runs) {
    const { app } = this;
    const range = { ...rangeOf(runs, app.values.weights) };
    for (const { theory } of this.lines) {
      for (const value of theory ?? []) if (value !== null) include(range, value);
    }
    const kind = scaleKind(app.index.statistics[this.statistic], app.values.scale);
    if (kind === 'linear' && app.index.statistics[this.statistic]?.unit === '1' && range.high <= 1 && range.low >= 0) {
      [range.low, range.high] = [0, Math.max(range.high, 0.05)];
    }
    const total = this.lines.reduce((sum, { names }) => sum + names.length, 0);
    const dots = total < 600 && this.lines.every(({ names }) => names.length <= 80);
    const focus = app.values.run;
    const lines = this.lines.flatMap((one) => {
      const { run, at, values, first, theory } = one;
      // A line goes on from layer to layer of its own model.
      const points = (some) => at.map((x, i) => [x, some[i]]).filter(([, value]) => value !== null);
      const focused = run.name === focus;
      const alpha = focus && !focused && app.shown.some((r) => r.name === focus) ? 0.45 : 1;
      return [
        first && { label: `${run.name}, first step`, color: run.color, dash: [2, 3], width: 1.7, alpha, points: points(first), quiet: true },
        theory && { label: `${run.name}, theory`, color: run.color, dash: [9, 4], width: 1.4, alpha, points: points(theory), quiet: true },
        { label: run.name, color: run.color, dash: run.dash, width: focused ? 3 : 2.2, alpha, points: points(values), dots, one },
      ].filter(Boolean);
    });
    const bands = kind === 'log' ? this._healthy() : [];
    this.hasBand = bands.length > 0;
    const marks = this._marks(app.values.layer);
    const height = Math.max(260, Math.min(420, innerHeight - 420));
    this._chart.show({
      x: this._axis.x,
      y: { kind, range },
      bands,
      lines,
      marks: marks.length > 4 ? [] : marks,
      height,
      tip: (at, nearest) => this._tip(at, nearest),
    });
  }

  /** The band in which values are healthy; of sequences, theory does not tell. */
  _healthy() {
    if (this.lines.some(({ run }) => run.series.some(({ kind }) => kind === 'time'))) return [];
    const levels = healthyLevels(this.signal, this.lines, Boolean(this._axis.x.names), KEPT);
    if (!levels.length) return [];
    return [{ color: themeColors().fine, points: levels.map(([x, level]) => [x, level / KEPT, level * KEPT]) }];
  }

  /** The places of a layer on the x axis. */
  _marks(layer) {
    const places = this.lines.flatMap(({ names, at }) => at.filter((_, i) => layer && layerOf(names[i]) === layer));
    return [...new Set(places)];
  }

  /** Which of a line's layers is at a place of the x axis, or nearest to it. */
  _indexAt(place, { at }) {
    if (this._axis.x.names) return at.indexOf(place);
    const distances = at.map((x) => Math.abs(x - place));
    return distances.indexOf(Math.min(...distances));
  }

  _tip(at, nearest) {
    const byDepth = !this._axis.x.names;
    const rows = this.lines
      .map((one) => ({ one, i: this._indexAt(at, one) }))
      .filter(({ one, i }) => i >= 0 && one.values[i] !== null)
      .sort((a, b) => rank(b.one.values[b.i]) - rank(a.one.values[a.i]));
    const first = rows.some(({ one }) => one.first);
    const theory = rows.some(({ one }) => one.theory);
    const steps = [...new Set(rows.map(({ one }) => one.step))];
    const layers = [...new Set(rows.map(({ one, i }) => display(one.names[i])))];
    const byName = !byDepth && this.app.values.x !== 'position';
    const details = ({ one, i }) =>
      [layers.length > 1 && !byName && display(one.names[i]), steps.length > 1 && `step ${one.step}`].filter(Boolean).join(', ');
    return [
      h('div.tip-title', {}, layers.length === 1 ? layers[0] : byDepth ? `depth ${short(at)} %` : byName ? this._axis.x.names[at] : `layer ${at + 1}`),
      h('div.muted', {}, `${this.signal} ${this.statistic} at step ${steps.length === 1 ? steps[0] : 'as said'}`),
      tipTable(
        first || theory ? ['', 'now', first && 'step 0', theory && 'theory'].filter((text) => text !== false) : null,
        rows.map(({ one, i }) => ({
          color: one.run.color,
          name: details({ one, i }) ? `${one.run.name} (${details({ one, i })})` : one.run.name,
          strong: nearest?.one === one,
          values: [
            one.values[i],
            ...(first ? [one.first?.[i] ?? null] : []),
            ...(theory ? [one.theory?.[i] ?? null] : []),
          ],
        })),
      ),
    ];
  }

  _pick(at, nearest) {
    const one = nearest?.one ?? this.lines.find((line) => this._indexAt(at, line) >= 0);
    if (!one) return;
    const layer = layerOf(one.names[this._indexAt(at, one)]);
    this.app.set({ layer: layer === this.app.values.layer ? '' : layer, ...(nearest ? { run: one.run.name } : {}) });
  }
}

/** Above all: NaN, then infinite, then by size. */
function rank(value) {
  return Number.isNaN(value) ? Infinity : value;
}

/** The chosen layer over the steps. */
class LayerHistory {
  constructor(app) {
    this.app = app;
    this._charts = [];
    this._caption = h('figcaption');
    this._body = h('div.pair');
    this.element = h('div.card', { hidden: true }, this._caption, this._body);
  }

  update(profiles) {
    const { app } = this;
    const { layer } = app.values;
    this.element.hidden = !layer;
    if (!layer) return;
    if (this._layer !== layer) {
      this._layer = layer;
      fill(
        this._caption,
        h('strong', {}, layer),
        ' through training ',
        h('button', { onclick: () => app.set({ view: 'heat' }) }, 'Histogram of its values'),
        h('button', { onclick: () => app.set({ layer: '' }) }, 'Close'),
      );
    }
    while (this._charts.length < profiles.length) {
      this._charts.push(
        new LineChart({
          label: 'One layer over the steps; arrow keys move from step to step',
          onpick: (step) => app.set({ step: String(step) }),
        }),
      );
    }
    const key = profiles.map(({ signal }) => signal).join();
    if (key !== this._shownKey || this._body.childElementCount !== profiles.length) {
      this._shownKey = key;
      fill(
        this._body,
        profiles.map((profile, i) =>
          h(
            'figure',
            { 'data-title': `${layer}: ${profile.signal} ${profile.statistic}` },
            this._charts[i].element,
          ),
        ),
      );
    }
    profiles.forEach((profile, i) => this._show(this._charts[i], profile, layer));
  }

  _show(chart, profile, layer) {
    const { app } = this;
    const { signal, statistic } = profile;
    const runs = profile.runs();
    const lines = runs.flatMap(({ run, parts }) => {
      const names = new Set(parts.flatMap((part) => part.names));
      return [...names]
        .filter((name) => layerOf(name) === layer && isWanted(name, app.values.weights, run))
        .map((name) => {
          const { steps, values } = history(parts, name);
          return {
            run, name, label: `${run.name} ${display(name)}`, color: run.color, dash: run.dash, width: 1.6,
            points: steps.map((step, j) => [step, values[j]]),
          };
        });
    });
    const range = emptyRange();
    let [low, high] = [Infinity, -Infinity];
    for (const { points } of lines) {
      for (const [step, value] of points) {
        include(range, value);
        low = Math.min(low, step);
        high = Math.max(high, step);
      }
    }
    chart.show({
      x: { low, high, title: 'step' },
      y: { kind: scaleKind(app.index.statistics[statistic], app.values.scale), range },
      lines,
      marks: Number.isFinite(app.step) ? [app.step] : [],
      height: 150,
      tip: (step) => [
        h('div.tip-title', {}, `${signal} ${statistic} at step ${step}`),
        tipTable(
          null,
          lines.flatMap(({ run, name, color, points }) => {
            const point = points.find(([one]) => one === step);
            return point ? [{ color, name: `${run.name} ${display(name).slice(layer.length)}`, values: [point[1]] }] : [];
          }),
        ),
      ],
    });
  }
}

