// Runs in groups (by initializer or another hyperparameter), with bands over seeds.

import { LineChart } from '../charts/lines.js';
import { fill, h, notice, select, swatch } from '../dom.js';
import { aboutMetric, factor, short } from '../format.js';
import {
  depthAxis, display, emptyRange, frameAt, history, include, isWanted, layerOf, mergeOrder, metricScale,
  robustRange, scaleKind, spread, stems, throughDepth, valuesOf,
} from '../model.js';
import { SCALES, signalSelect, SignalView, statisticSelect, tipTable, WEIGHTS } from './common.js';
import { faultsOf, findingsOf } from './findings.js';

// What tells repetitions of the same thing apart.
const REPETITION = /^(seed|trial|replica|repetition|fold)$/i;

export class CompareView extends SignalView {
  constructor(app) {
    super(app);
    this._controls = h('div.controls');
    this._profile = new LineChart({
      label: 'Profiles of groups over the layers',
      onpick: (at) => {
        const one = this._groups.find((group) => this._indexAt(at, group) >= 0);
        if (one) app.set({ layer: layerOf(one.names[this._indexAt(at, one)]) });
      },
    });
    this._metric = new LineChart({
      label: 'Metric of groups over the steps',
      onpick: (step) => app.set({ step: String(step) }),
    });
    this._figures = [
      h('figure', {}, h('figcaption'), this._profile.element),
      h('figure', {}, h('figcaption'), this._metric.element),
    ];
    this._pair = h('div.pair', {}, this._figures);
    this._hint = h('p.hint', {}, 'Lines are medians, bands reach from the lowest to the highest run of a group.');
    this._empty = h('div');
    this._table = h('div.scroll');
    this.element = h('div', {}, this._controls, this._empty, this._pair, this._hint, this._table);
  }

  /** Hyperparameters to group by, the telling ones first. */
  keys() {
    const values = new Map();
    for (const run of this.app.runs) {
      for (const [key, value] of Object.entries(run.hparams)) {
        if (!values.has(key)) values.set(key, new Set());
        values.get(key).add(String(value));
      }
    }
    return [...values.keys()]
      .filter((key) => !REPETITION.test(key))
      .sort((a, b) => (b === 'initializer') - (a === 'initializer') || values.get(b).size - values.get(a).size);
  }

  get key() {
    const keys = this.keys();
    const { group } = this.app.values;
    if (group === 'run name' || keys.includes(group)) return group;
    return keys[0] ?? 'run name';
  }

  /** Groups of the shown runs: `[{name, color, dash, members}]`. */
  groups() {
    const { key } = this;
    const groups = new Map();
    const stems = this.app.runs.map((run) => withoutSeed(run.name));
    // A number at the end is a seed only where several runs differ in nothing else.
    const stem = (name) =>
      stems.filter((one) => one === withoutSeed(name)).length > 1 ? withoutSeed(name) : name;
    for (const run of this.app.runs) {
      const name = key === 'run name' ? stem(run.name) : String(run.hparams[key] ?? '(none)');
      // A group looks like its first run does in all views.
      if (!groups.has(name)) groups.set(name, { name, color: run.color, dash: run.dash, members: [] });
      if (!this.app.values.hidden.includes(run.name)) groups.get(name).members.push(run);
    }
    return [...groups.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  update() {
    this._updateControls();
    const runs = this.runs();
    const missing = this.missing(runs);
    for (const part of [this._pair, this._hint, this._table]) part.hidden = missing !== null;
    fill(this._empty, missing && notice(...missing));
    if (missing) return;
    this._group(runs);
    this._showProfile();
    this._showMetric();
    this._updateTable();
  }

  _updateControls() {
    const { app, signal, key } = this;
    const { stat, scale, weights } = app.values;
    const memo = JSON.stringify([key, this.keys(), signal, stat, scale, weights, app.signals()]);
    if (memo === this._memo) return;
    this._memo = memo;
    fill(
      this._controls,
      select('Group by', [...this.keys().map((name) => [name, name]), ['run name', 'run name without seed']], key, (value) => app.set({ group: value })),
      signalSelect(app, 'Signal', signal, (value) => app.set({ signal: value })),
      statisticSelect(app, signal, this.statistic, (value) => app.set({ stat: value })),
      select('Scale', SCALES, scale, (value) => app.set({ scale: value })),
      select('Weights', WEIGHTS, weights, (value) => app.set({ weights: value })),
    );
  }

  /** Profiles at the chosen step, gathered by group. */
  _group(runs) {
    const { app } = this;
    const frames = new Map();
    for (const { run, parts } of runs) {
      const frame = frameAt(parts, app.step);
      if (frame) frames.set(run, frame);
    }
    const wanted = (run) => frames.get(run).names.filter((name) => isWanted(name, app.values.weights, run));
    this._groups = this.groups().map(({ members, ...group }) => {
      const present = members.filter((run) => frames.has(run));
      const lists = present.map(wanted);
      const full = lists.map((list) => new Map(stems(list).map((stem, i) => [stem, list[i]])));
      const order = mergeOrder(full.map((map) => [...map.keys()]));
      const rows = present.map((run, i) => valuesOf(frames.get(run), order.map((stem) => full[i].get(stem))));
      const names = order.map((stem) => full.find((map) => map.has(stem)).get(stem));
      const spreads = names.map((_, i) => spread(rows.map((row) => row[i]).filter((value) => value !== null)));
      return { ...group, members: present, names, spreads };
    }).filter(({ members }) => members.length);
    const lists = this._groups.map(({ names }) => names);
    this._axis = depthAxis(lists, app.values.x);
    for (const group of this._groups) group.at = group.names.map((_, i) => this._axis.at(group.names, i));
  }

  _showProfile() {
    const { app, statistic, signal } = this;
    const range = emptyRange();
    for (const { spreads } of this._groups) {
      for (const one of spreads) for (const value of Object.values(one)) include(range, value);
    }
    this._caption(0, `${signal} ${statistic} by ${this.key}`);
    this._profile.show({
      x: this._axis.x,
      y: { kind: scaleKind(app.index.statistics[statistic], app.values.scale), range },
      bands: this._groups
        .filter(({ members }) => members.length > 1)
        .map(({ color, at, spreads }) => ({ color, points: spreads.map((one, i) => [at[i], one.low, one.high]) })),
      lines: this._groups.map((group) => ({
        group, label: group.name, color: group.color, dash: group.dash, width: 2.2, dots: group.names.length <= 60,
        points: group.spreads.map((one, i) => [group.at[i], one.median]),
      })),
      marks: this._marks(app.values.layer),
      height: 340,
      tip: (at, nearest) => this._tip(this._titleAt(at), nearest, (group) => group.spreads[this._indexAt(at, group)]),
    });
  }

  /** Which of a group's layers is at a place of the x axis. */
  _indexAt(place, { at }) {
    return at.indexOf(place);
  }

  _titleAt(place) {
    const names = this._groups.flatMap((group) => group.names[this._indexAt(place, group)] ?? []);
    return [...new Set(names)].map(display).join(', ');
  }

  _marks(layer) {
    const places = this._groups.flatMap(({ names, at }) => at.filter((_, i) => layer && layerOf(names[i]) === layer));
    return [...new Set(places)].slice(0, 2);
  }

  _tip(title, nearest, read) {
    return [
      h('div.tip-title', {}, title),
      tipTable(
        ['', 'median', 'lowest', 'highest'],
        this._groups.flatMap((group) => {
          const one = read(group);
          return one ? [{ color: group.color, name: `${group.name} (${group.members.length})`, strong: nearest?.group === group, values: [one.median, one.low, one.high] }] : [];
        }),
      ),
    ];
  }

  _showMetric() {
    const { app } = this;
    const { data } = app.api.metrics();
    const all = app.partsOf(data).flatMap(({ parts }) => parts.flatMap((part) => part.names));
    const metric = all.includes('loss') ? 'loss' : all[0];
    this._figures[1].hidden = metric === undefined;
    if (metric === undefined) return;
    this._caption(1, `${metric} by ${this.key}`, aboutMetric(metric));
    let [low, high] = [Infinity, -Infinity];
    for (const group of this._groups) {
      const byStep = new Map();
      for (const run of group.members) {
        const { steps, values } = history(data.get(run.run)?.parts ?? [], metric);
        steps.forEach((step, i) => {
          if (!byStep.has(step)) byStep.set(step, []);
          byStep.get(step).push(values[i]);
        });
      }
      group.curve = new Map([...byStep].sort(([a], [b]) => a - b).map(([step, values]) => [step, spread(values)]));
      for (const step of group.curve.keys()) {
        [low, high] = [Math.min(low, step), Math.max(high, step)];
      }
    }
    const range = robustRange(
      this._groups.map(({ curve }) => [...curve.values()].flatMap((one) => [one.low, one.high])),
    );
    this._metric.show({
      x: { low, high, title: 'step' },
      y: { kind: metricScale(range), range },
      bands: this._groups
        .filter(({ members }) => members.length > 1)
        .map(({ color, curve }) => ({ color, points: [...curve].map(([step, one]) => [step, one.low, one.high]) })),
      lines: this._groups.map((group) => ({
        group, label: group.name, color: group.color, dash: group.dash, width: 2,
        points: [...group.curve].map(([step, one]) => [step, one.median]),
      })),
      marks: Number.isFinite(app.step) ? [app.step] : [],
      height: 340,
      tip: (step, nearest) => this._tip(`${metric} at step ${step}`, nearest, ({ curve }) => curve.get(step)),
    });
  }

  _caption(i, text, about = '') {
    const [figure, caption] = [this._figures[i], this._figures[i].firstChild];
    if (figure.dataset.title === text) return;
    figure.dataset.title = text;
    fill(caption, h('strong', {}, text), h('span.muted', {}, about));
  }

  _updateTable() {
    const { app } = this;
    const faults = faultsOf(findingsOf(app));
    fill(
      this._table,
      h(
        'table.summary',
        {},
        h('caption', {}, 'Medians over the runs of a group, at the chosen step'),
        h('tr', {}, ['group', 'runs', 'first → last layer', 'factor', 'last loss', 'errors', 'warnings'].map((text) => h('th', {}, text))),
        this._groups.map(({ name, members, color, spreads, curve }) => {
          const ends = throughDepth(spreads.map((one) => one.median));
          const count = (severity) => faults.filter((one) => members.includes(one.members[0].run) && one.severity === severity).length;
          return h(
            'tr',
            {},
            h('td.tip-name', {}, swatch(color), name),
            h('td.number', { title: members.map((run) => run.name).join('\n') }, members.length),
            h('td.number', {}, ends ? `${short(ends.first)} → ${short(ends.last)}` : '—'),
            h('td.number', {}, ends ? factor(ends.ratio) : ''),
            h('td.number', {}, curve?.size ? short([...curve.values()].at(-1).median) : '—'),
            h('td.number', {}, count('error') || '—'),
            h('td.number', {}, count('warning') || '—'),
          );
        }),
      ),
    );
  }

  csv() {
    const rows = [['group', 'runs', 'signal', 'statistic', 'tensor', 'median', 'lowest', 'highest']];
    for (const { name, members, names, spreads } of this._groups ?? []) {
      spreads.forEach((one, i) => {
        rows.push([name, members.length, this.signal, this.statistic, names[i], one.median, one.low, one.high]);
      });
    }
    return rows;
  }
}

/** "he_normal/seed_3" and "he_normal-3" are runs of "he_normal". */
function withoutSeed(name) {
  return name.replace(/[\s/_-]*(seed|trial|run)?[\s_=-]*\d+$/i, '') || name;
}
