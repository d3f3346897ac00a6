// What the rules found, in all runs.

import { checkbox, fill, h, notice, select, swatch } from '../dom.js';
import { short } from '../format.js';
import { copy } from '../host.js';
import { EXPLAINED } from '../rules.js';
import { waiting } from './common.js';

const SEVERITIES = ['error', 'warning', 'info'];
const ICONS = { error: '✖', warning: '▲', info: 'ℹ' };
const MOST_CARDS = 200;
const MOST_NAMES = 3;
const RULES_PAGE = new URL('../rules.html', import.meta.url);

/** A finding as it is shown, whatever types the file held. */
function tidy(finding) {
  const text = (value) => (typeof value === 'string' ? value : '');
  const step = Number.isFinite(finding.step) ? finding.step : null;
  return {
    rule: text(finding.rule) || 'unknown rule',
    severity: SEVERITIES.includes(finding.severity) ? finding.severity : 'info',
    layer: typeof finding.layer === 'string' ? finding.layer : null,
    step,
    measured: finding.measured ?? null,
    threshold: finding.threshold ?? null,
    message: text(finding.message),
    remedy: text(finding.remedy),
    unit: text(finding.unit),
    reference: text(finding.reference),
    because_of: text(finding.because_of) || null,
    cleared: finding.cleared ?? null,
  };
}

const TIDIED = new WeakMap();

function ofRun(data, run) {
  const raw = data?.get(run.run);
  if (!raw) return [];
  if (!TIDIED.has(raw)) TIDIED.set(raw, raw.map(tidy));
  return TIDIED.get(raw);
}

const isCause = (finding) => finding.because_of === null;

const isOpen = (finding) => finding.cleared === null || finding.cleared === false;

function order(a, b) {
  if (isCause(a.finding) !== isCause(b.finding)) return isCause(a.finding) ? -1 : 1;
  const severity = SEVERITIES.indexOf(a.finding.severity) - SEVERITIES.indexOf(b.finding.severity);
  return severity || (a.finding.step ?? -1) - (b.finding.step ?? -1);
}

let memo = {};

/** Open findings of the shown runs, causes first, the worst ahead: `[{run, finding}]`. */
export function findingsOf(app, cleared = false) {
  const { data } = app.api.findings();
  const { runs } = app;
  const key = JSON.stringify([app.values.hidden, cleared]);
  if (memo.data !== data || memo.runs !== runs) memo = { data, runs, found: {} };
  return (memo.found[key] ??= app.shown
    .flatMap((run) => ofRun(data, run).map((finding) => ({ run, finding })))
    .filter(({ finding }) => cleared || isOpen(finding))
    .sort(order));
}

/** Runs by how they fare, the worst ahead, those that nobody judged last. */
export function worstFirst(data, runs) {
  const ranks = [...SEVERITIES, 'fine'];
  const rank = (run) => ranks.indexOf(worstOf(data, run)?.severity ?? '') + 1 || ranks.length + 1;
  return runs.toSorted((a, b) => rank(a) - rank(b));
}

/** How a run fares: `{severity, rule, count}` of its worst, `null` if nobody judged it. */
export function worstOf(data, run) {
  if (!data?.has(run.run)) return null;
  const open = ofRun(data, run)
    .filter((finding) => isOpen(finding) && finding.severity !== 'info')
    .map((finding) => ({ run, finding }))
    .sort(order);
  const faults = faultsOf(open);
  if (!faults.length) return { severity: 'fine', rule: '', icon: '✓', count: 0 };
  const [{ severity, members }] = faults;
  return { severity, rule: members[0].finding.rule, icon: ICONS[severity], count: faults.length };
}

/** Findings of one rule in one run, in the order of their first: one fault, many layers. */
function groupsOf(found) {
  const groups = new Map();
  for (const one of found) {
    const { severity, rule } = one.finding;
    const key = JSON.stringify([one.run.run, severity, rule, isCause(one.finding)]);
    if (!groups.has(key)) groups.set(key, { key, severity, members: [] });
    groups.get(key).members.push(one);
  }
  return [...groups.values()];
}

/**
 * What people count: findings of one rule in one run are one fault, and what follows from
 * it is no other: `[{key, severity, members, followers}]`.
 */
export function faultsOf(found) {
  const faults = groupsOf(found).map((group) => ({ ...group, followers: [] }));
  const causes = new Map();
  for (const fault of faults) {
    const [{ run, finding }] = fault.members;
    const key = JSON.stringify([run.run, finding.rule]);
    if (isCause(finding) && !causes.has(key)) causes.set(key, fault);
  }
  return faults.filter(({ members }) => {
    const [{ run, finding }] = members;
    const cause = causes.get(JSON.stringify([run.run, finding.because_of]));
    if (isCause(finding) || !cause) return true;
    cause.followers.push(...members);
    return false;
  });
}

/** The first of some names, and how many more there are. */
function listed(names) {
  const more = names.length - MOST_NAMES;
  return names.slice(0, MOST_NAMES).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

export function badge(severity) {
  return h('span', { class: `badge ${severity}` }, `${ICONS[severity]} ${severity}`);
}

/**
 * A finding in one line that opens its place. `others`: names of runs that have it, too;
 * `more`: in how many other layers the run has it.
 */
export function findingLine(app, { run, finding }, others = [], more = 0) {
  const further = more > 0 ? ` and ${more} more ${more > 1 ? 'layers' : 'layer'}` : '';
  const where = finding.layer === null ? '' : ` in ${finding.layer}${further}`;
  const since = finding.step === null ? '' : `, since step ${finding.step}`;
  return h(
    'button.finding',
    {
      title: finding.remedy || finding.message,
      onclick: () => app.open('profile', { run: run.name, ...finding }),
    },
    badge(finding.severity),
    swatch(run.color),
    h('span.name', {}, run.name),
    others.length > 0 && h('span.muted', { title: others.join('\n') }, `and ${others.length} more`),
    h('strong', {}, finding.rule),
    h('span.text', {}, `${where}${since}: `, prose(finding.message)),
  );
}

/** Text whose web addresses can be followed, and what stands in backticks is code. */
function prose(text) {
  return text.split(/(https?:\/\/[^\s]*[^\s.,;)]|`[^`]+`)/).map((part, i) => {
    if (i % 2 === 0) return part;
    if (part.startsWith('`')) return h('code', {}, part.slice(1, -1));
    return link(part, part);
  });
}

function link(href, text) {
  return h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, text);
}

/** What was measured and what it was compared with; the message tells where no unit is known. */
function evidence({ measured, threshold, unit }) {
  if (measured === null || threshold === null || !unit) return null;
  return `measured ${short(measured)}, threshold ${short(threshold)}${unit === '1' ? '' : ` (${unit})`}`;
}

export class FindingsView {
  constructor(app) {
    this.app = app;
    this._controls = h('div.controls');
    this._body = h('div.scroll');
    this.element = h('div', {}, this._controls, this._body);
    this._unfolded = new Set();
  }

  update() {
    const { app } = this;
    const entry = app.api.findings();
    const all = findingsOf(app, app.values.cleared);
    const missing = waiting(entry, 1);
    const { severity, rule, search } = app.values;
    const key = JSON.stringify([missing, all.map(({ run, finding }) => [run.name, run.color, finding]), severity, rule, search, app.values.cleared]);
    if (key === this._key) return;
    this._key = key;
    this._updateControls(all);
    if (missing) {
      fill(this._body, notice(...missing));
      return;
    }
    const known = app.shown.some((run) => entry.data.has(run.run));
    if (!all.length) {
      fill(
        this._body,
        known
          ? notice('Nothing found', 'The rules looked at the selected runs and found no fault.')
          : notice('No findings recorded', 'The selected runs were recorded without rules.'),
      );
      return;
    }
    const rows = this._filtered(all);
    fill(this._body, rows.length ? this._cards(rows) : notice('No finding matches the filters'));
  }

  _filtered(all) {
    const { severity, rule, search } = this.app.values;
    const words = search.toLowerCase();
    return all.filter(
      ({ run, finding }) =>
        (!severity || finding.severity === severity) &&
        (!rule || finding.rule === rule) &&
        (!words || `${run.name} ${finding.layer ?? ''} ${finding.rule} ${finding.message}`.toLowerCase().includes(words)),
    );
  }

  _updateControls(all) {
    const { app } = this;
    const { severity, rule, search, cleared } = app.values;
    const faults = faultsOf(all);
    const count = (wanted) => faults.filter(({ severity }) => severity === wanted).length;
    const rules = [...new Set(all.map(({ finding }) => finding.rule))].sort();
    const typing = document.activeElement === this._search;
    const caret = this._search?.selectionStart;
    this._search = h('input', {
      type: 'search', value: search, placeholder: 'Search', 'aria-label': 'Search findings',
      oninput: () => app.set({ search: this._search.value }),
    });
    fill(
      this._controls,
      SEVERITIES.map((name) =>
        h(
          'button.chip',
          {
            class: `chip ${name}`,
            'aria-pressed': severity === name,
            onclick: () => app.set({ severity: severity === name ? '' : name }),
          },
          `${ICONS[name]} ${name} ${count(name)}`,
        ),
      ),
      select('Rule', [['', 'all rules'], ...rules.map((name) => [name, name])], rules.includes(rule) ? rule : '', (value) => app.set({ rule: value })),
      this._search,
      checkbox('cleared too', cleared, (value) => app.set({ cleared: value }), 'Include findings that have cleared'),
    );
    if (typing) {
      this._search.focus();
      this._search.setSelectionRange(caret, caret);
    }
  }

  _cards(rows) {
    const faults = faultsOf(rows);
    return h(
      'div.findings',
      {},
      faults.slice(0, MOST_CARDS).map((fault) => this._card(fault)),
      faults.length > MOST_CARDS && h('p.muted', {}, `and ${faults.length - MOST_CARDS} more: filter them`),
    );
  }

  /** One fault: its first layer, all others and what follows from it folded. */
  _card({ key, severity, members, followers }) {
    const [{ run, finding }, ...others] = members;
    const since = finding.step === null ? '' : `since step ${finding.step}`;
    return h(
      'article',
      {
        tabindex: 0,
        class: `fault ${severity} ${isOpen(finding) ? '' : 'cleared'}`,
        title: 'Open this layer and step in the depth profile',
        onkeydown: (event) => event.key === 'Enter' && event.target === event.currentTarget && this._open('profile', members[0]),
        onclick: (event) => event.target.closest('button, a, code') || this._open('profile', members[0]),
      },
      h('header', {}, badge(severity), h('strong', {}, finding.rule), swatch(run.color), h('span.name', {}, run.name)),
      h('p', {}, prose(finding.message)),
      isCause(finding)
        ? finding.remedy && h('p.remedy', {}, '→ ', prose(finding.remedy))
        : h('p.muted', {}, `follows from ${finding.because_of}`),
      h(
        'p.muted',
        {},
        [finding.layer ?? 'the model', since, !isOpen(finding) && `cleared at step ${finding.cleared}`, evidence(finding)]
          .filter(Boolean).join(' · '),
      ),
      h(
        'p.muted',
        {},
        h('button.link', { onclick: () => this._open('profile', members[0]) }, 'Depth profile'),
        ' · ',
        h('button.link', { onclick: () => this._open('heat', members[0]) }, 'Layer × step'),
        isCause(finding) && finding.remedy && [' · ', h('button.link', { onclick: () => copy(finding.remedy, 'What to do') }, 'Copy the remedy')],
        EXPLAINED.has(finding.rule) && [' · ', link(`${RULES_PAGE}#${finding.rule}`, 'About this rule')],
        finding.reference && [' · ', prose(finding.reference)],
      ),
      this._folded(`${key} layers`, others, 'the same in'),
      this._folded(`${key} followers`, followers, 'follows from it:'),
    );
  }

  /** Further findings of a fault, a line each, folded at first. */
  _folded(key, found, how) {
    if (!found.length) return null;
    const unfolded = this._unfolded.has(key);
    const toggle = () => {
      if (unfolded) this._unfolded.delete(key);
      else this._unfolded.add(key);
      this._key = null;
      this.app.refresh();
    };
    const layers = [...new Set(found.map(({ finding }) => finding.layer ?? 'the model'))];
    const names = how.endsWith(':') ? [...new Set(found.map(({ finding }) => finding.rule))] : layers;
    return h(
      'div',
      {},
      h('button.link', { onclick: toggle, 'aria-expanded': unfolded }, `${unfolded ? '▾' : '▸'} ${how} ${listed(names)}`),
      unfolded && found.map((one) => findingLine(this.app, one)),
    );
  }

  _open(view, { run, finding }) {
    this.app.open(view, { run: run.name, ...finding });
  }

  csv() {
    const { app } = this;
    const fields = ['rule', 'severity', 'layer', 'step', 'measured', 'threshold', 'unit', 'message', 'remedy', 'reference', 'because_of', 'cleared'];
    return [
      ['run', ...fields],
      ...this._filtered(findingsOf(app, app.values.cleared)).map(({ run, finding }) => [run.name, ...fields.map((name) => finding[name])]),
    ];
  }
}
