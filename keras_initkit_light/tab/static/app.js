// The InitKit tab: the glue between data, state and views.

import { Api } from './api.js';
import { dashOf } from './charts/colors.js';
import { fill, h, notice } from './dom.js';
import { saveCsv, savePng } from './export.js';
import * as host from './host.js';
import { vectorsOf } from './model.js';
import { State } from './state.js';
import { CardView } from './views/card.js';
import { CompareView } from './views/compare.js';
import { DifferenceView } from './views/difference.js';
import { faultsOf, findingsOf, FindingsView } from './views/findings.js';
import { HeatView } from './views/heat.js';
import { ProfileView } from './views/profile.js';
import { Sidebar } from './views/sidebar.js';
import { StepBar } from './views/stepbar.js';
import { TimeView } from './views/time.js';

// How often the visible page asks for what is new, and tells how old the newest is.
const POLL_MS = 5_000;
const TICK_MS = 1_000;
// User timings, seen in the browser's profiler and by benchmarks/tensorboard_tab.py.
const PICTURE = 'initkit: first picture';
const DRAWN = 'initkit: draw';
// Values of one reply, over all runs, that still arrive and draw quickly.
const REPLY_VALUES = 1_000_000;
// Rules whose faults are seen in the view of sequences.
const THROUGH_TIME = ['VanishingThroughTime'];
const VIEWS = [
  ['profile', 'Depth profile', ProfileView, 'Layers in forward order against any statistic'],
  ['heat', 'Layer × step', HeatView, 'Every layer over the whole training, and histograms'],
  ['findings', 'Findings', FindingsView, 'What the rules found, in all runs'],
  ['compare', 'Compare', CompareView, 'Runs grouped by initializer or another hyperparameter'],
  ['difference', 'Difference', DifferenceView, 'Two runs, or two steps of one, layer by layer, and where they diverge'],
  ['time', 'Through time', TimeView, 'Signals of sequence layers at each time step'],
  ['card', 'Run card', CardView, 'What a run is: model, layers, data, schedule'],
];

/** What views work with. */
class App {
  constructor(root, begun) {
    this.root = root;
    this.begun = begun;
    this.api = new Api(() => this.refresh());
    this.state = new State(() => this.refresh());
    this.index = null;
    this.error = null;
    this.runs = [];
    this._scheduled = false;
    this._steps = [];
    this._build();
  }

  get values() {
    return this.state.values;
  }

  /** The runs whose boxes are checked. */
  get shown() {
    return this.runs.filter((run) => !this.values.hidden.includes(run.name));
  }

  /** The run looked at, where a view shows a single one. */
  get focused() {
    const { shown } = this;
    return shown.find((run) => run.name === this.values.run) ?? shown[0] ?? null;
  }

  /** The step shown; `Infinity` follows the newest. */
  get step() {
    if (this.values.step === '') return Infinity;
    const wanted = Number(this.values.step) || 0;
    // The first sampled step that is not before it: there a fault can be seen.
    return this._steps.find((step) => step >= wanted) ?? Infinity;
  }

  set(patch) {
    this.state.set(patch);
  }

  /** A second has passed. */
  tick() {
    this.stepbar.tick();
  }

  /** Shows a finding's layer and step in a view. */
  open(view, finding) {
    this.set(this._placeOf(view, finding));
  }

  _placeOf(view, { run, layer, step }) {
    const hidden = this.values.hidden.filter((name) => name !== run);
    const at = step === null || step === undefined ? '' : String(step);
    return { view, run, hidden, layer: layer ?? '', step: at };
  }

  /** Where nobody has chosen what to look at: opens the place of the gravest fault. */
  _suggest() {
    if (this._suggested || !this.index || !this.api.findings().data) return;
    this._suggested = true;
    const grave = faultsOf(findingsOf(this)).find(({ severity }) => severity !== 'info');
    if (!grave || this.state.isChosen) return;
    const [{ run, finding }] = grave.members;
    const view = THROUGH_TIME.includes(finding.rule) ? 'time' : 'profile';
    this.state.suggest(this._placeOf(view, { run: run.name, ...finding }));
  }

  /** The shown runs with their parts of a reply, those that have some. */
  partsOf(data) {
    return this.shown.flatMap((run) => {
      const parts = data?.get(run.run)?.parts;
      return parts?.length ? [{ run, parts }] : [];
    });
  }

  /** Signals that some run has matrices of this kind for, in the schema's order. */
  signals(kind = 'statistics') {
    const there = new Set(
      this.runs.flatMap((run) =>
        run.series.filter((one) => one.kind === kind).map((one) => one.signal),
      ),
    );
    return Object.keys(this.index?.signals ?? {}).filter((signal) => there.has(signal));
  }

  /** Statistics stored for a signal, in stored order. */
  statistics(signal) {
    const columns = this.runs.flatMap((run) =>
      run.series
        .filter((one) => one.kind === 'statistics' && one.signal === signal)
        .map((one) => this.index.tables[one.columns]),
    );
    return [...new Set(columns.flat())];
  }

  /** Draws again, at the next frame. */
  refresh() {
    if (this._scheduled) return;
    this._scheduled = true;
    const draw = () => {
      if (!this._scheduled) return;
      this._scheduled = false;
      this._update();
    };
    requestAnimationFrame(draw);
    setTimeout(draw, 200); // a hidden tab gets no frames
  }

  /** Asks for what is new: for the list of runs, and for values of those that have grown. */
  async load() {
    if (this._listing) {
      this._again = true;
      return;
    }
    this._listing = true;
    do {
      this._again = false;
      await this._list();
    } while (this._again);
    this._listing = false;
  }

  /** Seconds since the newest step of a run was written, `null` where there is none. */
  age(run) {
    const { now, at } = this._clock;
    return run.time === null ? null : Math.max(0, now - run.time + (performance.now() - at) / 1000);
  }

  async _list() {
    try {
      const { begun } = this;
      this.begun = {};
      const index = await this.api.index(this.index?.stamp, begun.index);
      // The clock of TensorBoard's machine, where the files are.
      this._clock = { now: index.now, at: performance.now() };
      if (index.stamp !== this.index?.stamp) {
        const colors = await host.runColors(begun.runs);
        this.index = index;
        const used = {};
        this.runs = index.runs.map((run, i) => {
          const color = colors.get(run.name) ?? colors.get(run.run) ?? host.defaultColor(i);
          used[color] = (used[color] ?? -1) + 1;
          return { ...run, color, dash: dashOf(used[color]), vectors: vectorsOf(run, index) };
        });
        this.api.samples = samplesFor(index);
      }
      this.api.expire(new Map(this.runs.map(({ run, stamp }) => [run, stamp])));
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.refresh();
  }

  _build() {
    this.views = Object.fromEntries(VIEWS.map(([id, , View]) => [id, new View(this)]));
    this.sidebar = new Sidebar(this);
    this.sidebar.element.prepend(h('button.skip', { onclick: () => this._main.focus() }, 'Skip the runs'));
    this.stepbar = new StepBar(this);
    this._tabs = VIEWS.map(([id, title, , hint]) =>
      h(
        'button.tab',
        {
          role: 'tab',
          id: `tab-${id}`,
          'aria-controls': 'view',
          title: hint,
          onclick: () => this.set({ view: id }),
          onkeydown: (event) => this._moveTab(event),
        },
        title,
      ),
    );
    this._main = h('div.view', { role: 'tabpanel', id: 'view', tabindex: -1 });
    this._alert = h('div.alert', { role: 'alert', hidden: true });
    fill(
      this.root,
      this.sidebar.element,
      h(
        'main',
        {},
        h('h1.unseen', {}, 'InitKit'),
        h(
          'header',
          {},
          h('div.tabs', { role: 'tablist', 'aria-label': 'Views' }, this._tabs),
          h(
            'div.tools',
            {},
            h('button', { onclick: () => this._png(), title: 'Download the charts as a picture' }, 'PNG'),
            h('button', { onclick: () => this._csv(), title: 'Download the values shown' }, 'CSV'),
            h('button', { onclick: () => this._link(), title: 'Copy a link to this view' }, 'Link'),
          ),
        ),
        this._alert,
        this._main,
        this.stepbar.element,
      ),
    );
    new ResizeObserver(() => this.refresh()).observe(this._main);
  }

  get view() {
    return this.views[this.values.view] ?? this.views.profile;
  }

  _update() {
    const start = performance.now();
    this._suggest();
    // A link may hold anything.
    this.api.at = /^\d{1,15}$/.test(this.values.step) ? this.values.step : '';
    this._draw();
    performance.clearMeasures(DRAWN);
    performance.measure(DRAWN, { start });
    if (!this._pictured && this._steps.length) {
      this._pictured = true;
      performance.mark(PICTURE);
    }
  }

  _draw() {
    const { view } = this;
    VIEWS.forEach(([id, title], i) => {
      const chosen = this.views[id] === view;
      this._tabs[i].setAttribute('aria-selected', chosen);
      this._tabs[i].tabIndex = chosen ? 0 : -1;
      if (id !== 'findings') return;
      const faults = this.index ? faultsOf(findingsOf(this)).filter(({ severity }) => severity !== 'info') : [];
      const kind = faults.some(({ severity }) => severity === 'error') ? 'error' : 'warning';
      fill(this._tabs[i], title, faults.length > 0 && h('span', { class: `count ${kind}` }, faults.length));
    });
    this._alert.hidden = !this.error;
    if (this.error) {
      fill(this._alert, `TensorBoard is not responding (${this.error.message}). The data shown may be out of date.`);
    }
    this._steps = (this.index && this.runs.length && view.steps?.()) || [];
    this.sidebar.update();
    this.stepbar.update(this._steps);
    const element = this._element(view);
    if (this._main.firstChild !== element) fill(this._main, element);
    if (element === view.element) view.update();
    this._main.setAttribute('aria-busy', !this.index || this.api.busy);
  }

  _element(view) {
    if (!this.index) return this.error ? (this._failed ??= notice('No answer', 'TensorBoard could not list the runs.')) : (this._loading ??= notice('Loading…'));
    if (!this.runs.length) {
      return (this._none ??= notice(
        'No runs with InitKit data here yet',
        'Add keras_initkit.SignalMonitor(log_dir) to the callbacks of model.fit, with a ' +
          'log_dir inside the directory that TensorBoard was started on. This page looks for new runs automatically.',
      ));
    }
    if (!this.shown.length) return (this._hiddenAll ??= notice('No run is selected', 'Check a run on the left.'));
    return view.element;
  }

  _moveTab(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    const now = this._tabs.indexOf(event.currentTarget);
    const next = (now + move + VIEWS.length) % VIEWS.length;
    this._tabs[next].focus();
    this.set({ view: VIEWS[next][0] });
  }

  _png() {
    const legend = this.shown.map(({ color, name }) => ({ color, text: name }));
    savePng(this._main, legend, `initkit-${this.values.view}`);
  }

  _csv() {
    const rows = this.view.csv?.() ?? [];
    if (rows.length > 1) saveCsv(rows, `initkit-${this.values.view}`);
  }

  _link() {
    this.state.save();
    host.copy(host.address(), 'Link to this view');
  }
}

function samplesFor(index) {
  const rows = index.runs.flatMap((run) =>
    run.series.filter((one) => one.kind === 'statistics').map((one) => index.tables[one.tensors].length),
  );
  // A reply holds one signal of each run; take the largest for all.
  const total = index.runs.length * Math.max(1, ...rows);
  return Math.round(Math.min(400, Math.max(50, REPLY_VALUES / total)));
}

/** Shows the tab; `begun` are the replies that were asked for ahead of it. */
export async function start(begun) {
  const root = h('div.app');
  document.body.append(root);
  const app = new App(root, begun);
  host.followTheme(() => app.refresh());
  host.connect(() => app.load());
  await app.load();
  const ask = () => host.isVisible() && app.load();
  setInterval(ask, POLL_MS);
  setInterval(() => host.isVisible() && app.tick(), TICK_MS);
  document.addEventListener('visibilitychange', ask);
}
