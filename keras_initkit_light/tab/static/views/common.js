// Parts that several views use.

import { h, select, swatch } from '../dom.js';
import { short } from '../format.js';
import { stepsOf } from '../model.js';

/** What shows one statistic of one signal: the chosen ones, or those that there are. */
export class SignalView {
  constructor(app) {
    this.app = app;
  }

  get signal() {
    const signals = this.app.signals();
    const { signal } = this.app.values;
    return signals.includes(signal) ? signal : (signals[0] ?? '');
  }

  get statistic() {
    const { stat } = this.app.values;
    return this.app.statistics(this.signal).includes(stat) ? stat : 'rms';
  }

  /** The runs that have it, with their parts of the reply. */
  runs() {
    return this.signal ? this.app.partsOf(this._entry().data) : [];
  }

  steps() {
    return stepsOf(this.runs());
  }

  /** What stands in for the charts of `runs` while their data are missing, else `null`. */
  missing(runs) {
    const { signal, statistic } = this;
    if (!signal) return ['No signals here', 'None of the runs recorded any.'];
    const text = `None of the selected runs has recorded ${signal} ${statistic}.`;
    return waiting(this._entry(), runs.length, [`No ${signal} here`, text]);
  }

  _entry() {
    return this.app.api.statistic(this.signal, this.statistic);
  }
}

/** A <select> of the signals that were recorded. */
export function signalSelect(app, label, value, onpick, kind = 'statistics', extra = []) {
  const options = app.signals(kind).map((name) => [name, name, app.index.signals[name].description]);
  return select(label, [...extra, ...options], value, onpick);
}

export function statisticSelect(app, signal, value, onpick) {
  const options = app
    .statistics(signal)
    .map((name) => [name, name.replaceAll('_', ' '), app.index.statistics[name]?.description]);
  return select('Statistic', options, value, onpick);
}

export const SCALES = [['auto', 'auto'], ['log', 'log'], ['linear', 'linear']];
export const WEIGHTS = [
  ['kernels', 'kernels', 'Kernels, embeddings and other weights that are neither bias nor scale'],
  ['biases', 'biases, scales'],
  ['all', 'all weights'],
];

/** A figure with caption and charts; `title` is what a downloaded picture says. */
export function figure(title, caption, ...content) {
  return h('figure', { 'data-title': title }, h('figcaption', {}, caption), content);
}

/** Rows of a tooltip: `[{color, name, values, strong}]`, at most `most` of them. */
export function tipTable(head, rows, most = 14) {
  const cut = rows.slice(0, most);
  return h(
    'table',
    {},
    head && h('tr', {}, head.map((text) => h('th', {}, text))),
    cut.map(({ color, name, values, strong }) =>
      h(
        'tr',
        { class: strong ? 'strong' : null },
        h('td.tip-name', {}, color && swatch(color), name),
        values.map((value) => h('td.number', {}, typeof value === 'string' ? value : short(value))),
      ),
    ),
    rows.length > most && h('tr', {}, h('td.muted', {}, `and ${rows.length - most} more`)),
  );
}

/** What stands in for a chart while its data are missing; `null` if they are there. */
export function waiting(entry, count, empty) {
  if (entry.error && !entry.data) return ['Could not be read', entry.error.message];
  if (!entry.data) return ['Loading…', ''];
  return count ? null : empty;
}
