// What a run is, as it says itself.

import { fill, h, notice, swatch } from '../dom.js';
import { short } from '../format.js';
import { waiting } from './common.js';
import { faultsOf, findingLine, findingsOf } from './findings.js';

// Facts that stand elsewhere on the card, or say once more what another one says.
const SHOWN_ELSEWHERE = new Set(['layers', 'untapped', 'run', 'data_version', 'target']);
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
    const found = faultsOf(findingsOf(app).filter((one) => one.run === run));
    const key = JSON.stringify([run, entry.data?.get(run.run), entry.error?.message, found.length]);
    if (key === this._key) return;
    this._key = key;
    const missing = waiting(entry, 1);
    if (missing) {
      fill(this.element, notice(...missing));
      return;
    }
    const { facts, notes } = entry.data.get(run.run);
    const others = Object.entries(facts)
      .filter(([name, value]) => !SHOWN_ELSEWHERE.has(name) && !(name === 'losses' && facts.loss && value?.length === 1))
      .map(([name, value]) => [name, SENTENCES[name]?.(value) ?? value]);
    fill(
      this.element,
      h('h2', {}, swatch(run.color), ' ', run.name),
      app.shown.length > 1 && h('p.hint', {}, 'Click another run on the left to see its card.'),
      notes.length > 0 && h('div.alert', {}, notes.map((note) => h('div', {}, note))),
      !Object.keys(facts).length && notice('No facts about this run', 'It was stopped before its first monitored step, or written by another version.'),
      h('div.columns', {}, this._section('Facts', others), this._section('Hyperparameters', Object.entries(run.hparams)), this._recorded(run)),
      found.length > 0 && h('section', {}, h('h3', {}, `Findings (${found.length})`), h('div.verdict', {}, found.slice(0, 12).map(({ members }) => findingLine(app, members[0], [], members.length - 1)))),
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

const words = (name) => name.replaceAll('_', ' ');
const kilobytes = (bytes) => `${short(bytes / 1000)} kB`;

// Facts that are told in a sentence; `null` where one is not as expected.
const SENTENCES = {
  overhead: (of) =>
    of && Number.isFinite(of.ratio) && Number.isFinite(of.training_seconds)
      ? `monitoring took ${short(100 * of.ratio)} % of ${short(of.training_seconds)} s of training` +
        (Number.isFinite(of.first_step_seconds) ? `; its first step, which compiles, ${short(of.first_step_seconds)} s` : '') +
        (typeof of.measured_as === 'string' ? ` (${of.measured_as})` : '')
      : null,
  budget: (of) =>
    of && Number.isFinite(of.scalar_tags)
      ? `at most ${of.scalar_tags} scalars and ${of.histogram_tags} histograms in the stock dashboards; ` +
        `${kilobytes(of.bytes_per_step)} per monitored step, ${kilobytes(of.bytes_per_histogram_step)} with histograms`
      : null,
};

/** Any JSON value as people read it: what is not, or is not known, is left out of objects. */
function text(value) {
  if (value === null || value === undefined) return '—';
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : short(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) {
    if (value.length > 1 && value.every((one) => Number.isInteger(one) || one === null)) return value.map((one) => one ?? '?').join(' × ');
    return value.map(text).join('; ') || 'none';
  }
  if (typeof value !== 'object') return String(value);
  const { name, ...others } = value;
  const told = Object.entries(others)
    .filter(([, one]) => one !== null && one !== false)
    .map(([key, one]) => (one === true ? words(key) : `${words(key)} ${text(one)}`));
  return [...(name === undefined ? [] : [text(name)]), ...told].join(', ') || 'none';
}
