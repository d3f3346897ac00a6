// What the rules found, in all runs.

import { checkbox, fill, h, notice, select, swatch } from '../dom.js';
import { short } from '../format.js';
import { waiting } from './common.js';

const SEVERITIES = ['error', 'warning', 'info'];
const ICONS = { error: '✖', warning: '▲', info: 'ℹ' };
const MOST_ROWS = 500;

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

/** What follows from a group of findings of one rule, among those shown. */
function followersOf(group, found) {
  const { run, finding } = group.members[0];
  return isCause(finding)
    ? found.filter((one) => one.run === run && one.finding.because_of === finding.rule)
    : [];
}

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

/** How a run fares: `{severity, rule, count}` of its worst, `null` if nobody judged it. */
export function worstOf(data, run) {
  if (!data?.has(run.run)) return null;
  const open = ofRun(data, run)
    .filter((finding) => isOpen(finding) && isCause(finding) && finding.severity !== 'info')
    .map((finding) => ({ finding }))
    .sort(order);
  if (!open.length) return { severity: 'fine', rule: '✓', count: 0 };
  const [{ finding }] = open;
  return { severity: finding.severity, rule: finding.rule, count: open.length };
}

/** Findings of one rule in one run, in the order of their first: one fault, many layers. */
export function groupsOf(found) {
  const groups = new Map();
  for (const one of found) {
    const { severity, rule } = one.finding;
    const key = JSON.stringify([one.run.run, severity, rule, isCause(one.finding)]);
    if (!groups.has(key)) groups.set(key, { key, severity, members: [] });
    groups.get(key).members.push(one);
  }
  return [...groups.values()];
}

export function badge(severity) {
  return h('span', { class: `badge ${severity}` }, `${ICONS[severity]} ${severity}`);
}

/** A finding in one line that opens its place. */
export function findingLine(app, { run, finding }) {
  const where = finding.layer === null ? '' : ` in ${finding.layer}`;
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
    h('strong', {}, finding.rule),
    h('span.text', {}, `${where}${since}: ${finding.message}`),
  );
}

/** Text whose web addresses can be followed. */
function withLinks(text) {
  return text.split(/(https?:\/\/[^\s]+)/).map((part, i) =>
    i % 2 ? h('a', { href: part, target: '_blank', rel: 'noopener noreferrer' }, part) : part,
  );
}

export class FindingsView {
  constructor(app) {
    this.app = app;
    this._controls = h('div.controls');
    this._body = h('div.scroll');
    this.element = h('div', {}, this._controls, this._body);
    this._opened = new Set(); // groups that show all their layers
    this._followed = new Set(); // groups that show what follows from them
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
    fill(this._body, rows.length ? this._table(rows) : notice('No finding matches the filters'));
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
    const count = (wanted) => all.filter(({ finding }) => finding.severity === wanted).length;
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
      checkbox('cleared too', cleared, (value) => app.set({ cleared: value }), 'Also findings that no longer hold'),
    );
    if (typing) {
      this._search.focus();
      this._search.setSelectionRange(caret, caret);
    }
  }

  _table(rows) {
    const groups = groupsOf(rows);
    const folded = new Set();
    const lines = groups.flatMap((group) => {
      const { key, members } = group;
      if (members.every((one) => folded.has(one))) return [];
      const opened = this._opened.has(key);
      const followers = followersOf(group, rows).filter((one) => !folded.has(one));
      followers.forEach((one) => folded.add(one));
      const unfolded = this._followed.has(key);
      return [
        this._row(members[0], members.length - 1, key, followers.length),
        ...(opened ? members.slice(1).map((one) => this._row(one)) : []),
        ...(unfolded ? followers.map((one) => this._row(one)) : []),
      ];
    });
    return h(
      'table.findings',
      {},
      h('colgroup', {}, [9, 15, 14, 14, 6, 8, 34].map((width) => h('col', { style: `width:${width}%` }))),
      h('thead', {}, h('tr', {}, ['severity', 'rule', 'run', 'layer', 'since', 'measured', 'what, and what to do'].map((text) => h('th', {}, text)))),
      h('tbody', {}, lines.slice(0, MOST_ROWS)),
      lines.length > MOST_ROWS && h('tfoot', {}, h('tr', {}, h('td', { colspan: 7 }, `and ${lines.length - MOST_ROWS} more: filter them`))),
    );
  }

  /**
   * A row; `more` says how many findings of its group stand behind it, `following` how
   * many follow from it.
   */
  _row({ run, finding }, more = 0, key = null, following = 0) {
    const { app } = this;
    const open = (view) => app.open(view, { run: run.name, ...finding });
    const opened = this._opened.has(key);
    const unfolded = this._followed.has(key);
    const toggle = (shown) => () => {
      if (shown.has(key)) shown.delete(key);
      else shown.add(key);
      this._key = null;
      app.refresh();
    };
    return h(
      'tr',
      {
        tabindex: 0,
        class: [!isOpen(finding) && 'cleared', !isCause(finding) && 'follows'].filter(Boolean).join(' ') || null,
        title: 'Open this layer and step in the depth profile',
        onkeydown: (event) =>
          event.key === 'Enter' && event.target === event.currentTarget && open('profile'),
        onclick: (event) => event.target.closest('button, a') || open('profile'),
      },
      h('td', {}, badge(finding.severity), !isOpen(finding) && h('div.muted', {}, `cleared at step ${finding.cleared}`)),
      h('td', {}, finding.rule),
      h('td', {}, swatch(run.color), ' ', run.name),
      h(
        'td',
        {},
        finding.layer ?? 'the model',
        more > 0 &&
          h('div', {}, h('button.link', { onclick: toggle(this._opened), 'aria-expanded': opened }, opened ? 'show the first only' : `and ${more} more`)),
      ),
      h('td.number', {}, finding.step ?? '—'),
      h('td.number', { title: `threshold ${short(finding.threshold)}` }, short(finding.measured)),
      h(
        'td',
        {},
        finding.message,
        isCause(finding)
          ? finding.remedy && h('div.remedy', {}, `→ ${finding.remedy}`)
          : h('div.muted', {}, `follows from ${finding.because_of}`),
        following > 0 &&
          h(
            'div',
            {},
            h(
              'button.link',
              { onclick: toggle(this._followed), 'aria-expanded': unfolded },
              unfolded ? 'hide what follows from it' : `and ${following} more that follow from it`,
            ),
          ),
        h(
          'div.muted',
          {},
          h('button.link', { onclick: () => open('profile') }, 'Depth profile'),
          ' · ',
          h('button.link', { onclick: () => open('heat') }, 'Layer × step'),
          finding.reference && [' · ', withLinks(finding.reference)],
        ),
      ),
    );
  }

  csv() {
    const { app } = this;
    const fields = ['rule', 'severity', 'layer', 'step', 'measured', 'threshold', 'message', 'remedy', 'reference', 'because_of', 'cleared'];
    return [
      ['run', ...fields],
      ...this._filtered(findingsOf(app, app.values.cleared)).map(({ run, finding }) => [run.name, ...fields.map((name) => finding[name])]),
    ];
  }
}
