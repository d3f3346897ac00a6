// The list of runs: which are shown, in which colour, and how they fare.

import { checkbox, fill, h, swatch } from '../dom.js';
import { commonPrefix } from '../format.js';
import { worstFirst, worstOf } from './findings.js';

const TAIL = 8; // letters at the end of a name that are always seen

export class Sidebar {
  constructor(app) {
    this.app = app;
    this._filter = h('input', {
      type: 'search',
      placeholder: 'Filter runs',
      'aria-label': 'Filter runs',
      oninput: () => app.set({ filter: this._filter.value }),
    });
    this._worstFirst = checkbox('worst first', false, (worstFirst) => app.set({ worstFirst }), 'Runs in the order of what the rules found');
    this._list = h('ul.runs', { 'aria-label': 'Runs' });
    this._count = h('span.muted');
    this._prefix = h('div.muted.prefix');
    this.element = h(
      'aside',
      {},
      h('div.row', {}, h('h2', {}, 'Runs'), this._count),
      this._filter,
      h(
        'div.row',
        {},
        h('button', { onclick: () => this._show(this._matching()) }, 'All'),
        h('button', { onclick: () => this._show([]) }, 'None'),
        this._worstFirst,
      ),
      this._prefix,
      this._list,
    );
  }

  update() {
    const { app } = this;
    const { hidden, filter, run: focus } = app.values;
    const findings = app.index && app.api.findings().data;
    const worst = app.runs.map((run) => worstOf(findings, run));
    const key = JSON.stringify([
      app.runs.map(({ name, color, notes, unclosed }) => [name, color, notes.length, unclosed]),
      hidden, filter, focus, worst, app.values.worstFirst,
    ]);
    if (key === this._key) return;
    this._key = key;
    if (this._filter.value !== filter) this._filter.value = filter;
    this._worstFirst.querySelector('input').checked = app.values.worstFirst;
    const matching = this._ordered(this._matching(), findings);
    fill(this._count, `${app.shown.length} of ${app.runs.length}`);
    const prefix = commonPrefix(app.runs.map(({ name }) => name), '/-_ .');
    fill(this._prefix, prefix && `${prefix}…`);
    const active = document.activeElement?.dataset?.key;
    fill(
      this._list,
      matching.map((run) => this._row(run, run.name.slice(prefix.length), worst[app.runs.indexOf(run)])),
      matching.length === 0 && app.runs.length > 0 && h('li.muted', {}, 'No run matches.'),
    );
    if (active) {
      [...this._list.querySelectorAll('[data-key]')]
        .find((one) => one.dataset.key === active)
        ?.focus();
    }
  }

  /** `text`: what tells its name from those of the others. */
  _row(run, text, worst) {
    const { app } = this;
    const shown = !app.values.hidden.includes(run.name);
    const box = h('input', {
      type: 'checkbox',
      checked: shown,
      'aria-label': `Show ${run.name}`,
      'data-key': `box ${run.name}`,
      onchange: () => {
        const others = app.values.hidden.filter((name) => name !== run.name);
        app.set({ hidden: box.checked ? others : [...others, run.name] });
      },
    });
    return h(
      'li',
      { class: run.name === app.values.run ? 'focused' : null },
      box,
      swatch(run.color),
      h(
        'button.name',
        {
          title: `${run.name}\nClick to look at this run`,
          'data-key': `name ${run.name}`,
          onclick: () =>
            app.set({ run: run.name, hidden: app.values.hidden.filter((name) => name !== run.name) }),
        },
        h('span.head', {}, text.slice(0, -TAIL)),
        h('span.tail', {}, text.slice(-TAIL)),
      ),
      worst &&
        h('span', { class: `badge ${worst.severity}`, title: worst.count ? `${worst.count} findings, the worst: ${worst.rule}` : 'The rules found no faults' }, worst.icon, worst.rule && h('span.rule', {}, ` ${worst.rule}`)),
      run.unclosed && h('span.badge.open', { title: run.unclosed }, '…'),
      run.notes.length > 0 && h('span.badge.note', { title: run.notes.join('\n') }, '!'),
      h(
        'button.only',
        {
          title: `Show ${run.name} alone`,
          'data-key': `only ${run.name}`,
          onclick: () => this._show([run], run.name),
        },
        'only',
      ),
    );
  }

  _ordered(runs, findings) {
    return this.app.values.worstFirst ? worstFirst(findings, runs) : runs;
  }

  _matching() {
    const wanted = this.app.values.filter.toLowerCase();
    return this.app.runs.filter((run) => run.name.toLowerCase().includes(wanted));
  }

  _show(runs, focus) {
    const names = new Set(runs.map((run) => run.name));
    const hidden = this.app.runs.map((run) => run.name).filter((name) => !names.has(name));
    this.app.set({ hidden, ...(focus ? { run: focus } : {}) });
  }
}
