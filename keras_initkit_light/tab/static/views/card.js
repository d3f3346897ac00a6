// What a run is, as it says itself.

import { fill, h, notice, swatch } from '../dom.js';
import { exact } from '../format.js';
import { waiting } from './common.js';
import { findingLine, findingsOf } from './findings.js';

// Facts with a form of their own; all others are listed as they are.
const SHOWN_ELSEWHERE = new Set(['layers', 'untapped']);
const MOST_LAYERS = 400;

export class CardView {
  constructor(app) {
    this.app = app;
    this.element = h('div.runcard');
  }

  update() {
    const { app } = this;
    const run = app.focused;
    const entry = app.api.facts(run.run);
    const found = findingsOf(app).filter((one) => one.run === run);
    const key = JSON.stringify([run, entry.data?.get(run.run), entry.error?.message, found.length]);
    if (key === this._key) return;
    this._key = key;
    const missing = waiting(entry, 1);
    if (missing) {
      fill(this.element, notice(...missing));
      return;
    }
    const { facts, notes } = entry.data.get(run.run);
    const others = Object.entries(facts).filter(([name]) => !SHOWN_ELSEWHERE.has(name));
    fill(
      this.element,
      h('h2', {}, swatch(run.color), ' ', run.name),
      app.shown.length > 1 && h('p.hint', {}, 'Click another run on the left to see its card.'),
      notes.length > 0 && h('div.alert', {}, notes.map((note) => h('div', {}, note))),
      !Object.keys(facts).length && notice('This run says nothing of itself', 'It was stopped before its first monitored step, or written by another version.'),
      h('div.columns', {}, this._section('Facts', others), this._section('Hyperparameters', Object.entries(run.hparams)), this._recorded(run)),
      found.length > 0 && h('section', {}, h('h3', {}, `Findings (${found.length})`), h('div.verdict', {}, found.slice(0, 12).map((one) => findingLine(app, one)))),
      this._untapped(facts.untapped),
      this._layers(facts.layers),
    );
  }

  _section(title, pairs) {
    if (!pairs.length) return null;
    return h(
      'section',
      {},
      h('h3', {}, title),
      h('dl', {}, pairs.map(([name, value]) => [h('dt', {}, name.replaceAll('_', ' ')), h('dd', {}, text(value))])),
    );
  }

  _recorded(run) {
    const { tables } = this.app.index;
    const rows = run.series.filter((one) => one.kind !== 'metrics');
    return h(
      'section',
      {},
      h('h3', {}, 'Recorded'),
      h(
        'table.summary',
        {},
        h('tr', {}, ['signal', 'what', 'tensors', 'columns'].map((name) => h('th', {}, name))),
        rows.map((one) =>
          h('tr', {}, [one.part ? `${one.signal} (part ${one.part + 1})` : one.signal, one.kind, tables[one.tensors].length, tables[one.columns].length].map((value) => h('td', {}, value))),
        ),
      ),
    );
  }

  _untapped(untapped) {
    if (!Array.isArray(untapped) || !untapped.length) return null;
    return h(
      'section',
      {},
      h('h3', {}, 'Not recorded'),
      h('dl', {}, untapped.filter(Array.isArray).map(([layer, reason]) => [h('dt', {}, text(layer)), h('dd', {}, text(reason))])),
    );
  }

  _layers(layers) {
    if (!Array.isArray(layers) || !layers.length) return null;
    const rows = layers.filter((one) => one && typeof one === 'object').slice(0, MOST_LAYERS);
    const columns = [...new Set(rows.flatMap(Object.keys))];
    return h(
      'section',
      {},
      h('h3', {}, `Layers (${layers.length})`),
      h(
        'div.scroll',
        {},
        h(
          'table.summary',
          {},
          h('tr', {}, h('th', {}, '#'), columns.map((name) => h('th', {}, name))),
          rows.map((row, i) => h('tr', {}, h('td.number', {}, i + 1), columns.map((name) => h('td', {}, text(row[name]))))),
        ),
      ),
    );
  }

  csv() {
    const run = this.app.focused;
    const facts = this.app.api.facts(run.run).data?.get(run.run).facts ?? {};
    return [['run', 'fact', 'value'], ...Object.entries({ ...facts, ...run.hparams }).map(([name, value]) => [run.name, name, text(value)])];
  }
}

/** Any JSON value as text. */
function text(value) {
  if (value === null || value === undefined) return '—';
  if (typeof value === 'number') return exact(value);
  if (Array.isArray(value)) return value.map(text).join(', ') || 'none';
  if (typeof value === 'object') {
    return Object.entries(value).map(([name, one]) => `${name} ${text(one)}`).join(', ');
  }
  return String(value);
}
