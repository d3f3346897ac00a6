// The step: a slider below the metrics of the runs, with play.

import { surface, themeColors, line, place, write } from '../charts/canvas.js';
import { linearScale, makeScale } from '../charts/scale.js';
import { fill, h } from '../dom.js';
import { aboutMetric, ago, short } from '../format.js';
import { history, metricScale, pieces, robustRange } from '../model.js';
import { findingsOf } from './findings.js';

const FRAME = 90; // milliseconds a step when playing
const HEIGHT = 64;
const LEFT = 52;
const RIGHT = 14;
const SLACK = 0.05; // share of the height by which a value may lie above without a mark

export class StepBar {
  constructor(app) {
    this.app = app;
    this._steps = [];
    this._play = h('button.play', { onclick: () => this._toggle(), title: 'Play the training (space)' }, '▶');
    this._slider = h('input', {
      type: 'range',
      step: 'any',
      'aria-label': 'Training step',
      oninput: () => this._go(this._nearest(Number(this._slider.value))),
      onkeydown: (event) => this._key(event),
    });
    this._text = h('output.step');
    this._age = h('span.age', { title: 'How long ago the newest step of the selected runs was written' });
    this._latest = h('button', { onclick: () => app.set({ step: '' }), title: 'Follow the newest step' }, 'Latest');
    this._canvas = h('canvas', {
      role: 'img',
      'aria-label': 'Metric of the monitored steps',
      onclick: (event) => this._pick(event),
    });
    this._metric = h('select', {
      'aria-label': 'Metric',
      onchange: () => this._draw(),
    });
    this._about = h('span.muted');
    this.element = h(
      'footer',
      { hidden: true },
      h('div.strip', {}, this._canvas),
      this._slider,
      h(
        'div.row',
        {},
        this._play,
        h('button', { onclick: () => this._go(0), title: 'First step' }, 'First'),
        this._latest,
        this._text,
        this._age,
        this._about,
        this._metric,
      ),
    );
    document.addEventListener('keydown', (event) => {
      const busy = /^(INPUT|SELECT|BUTTON|TEXTAREA|SUMMARY|A)$/.test(event.target.tagName);
      if (event.key !== ' ' || busy || this.element.hidden) return;
      event.preventDefault();
      this._toggle();
    });
  }

  /** Shows the steps to choose from, ascending. */
  update(steps) {
    this.element.hidden = steps.length === 0;
    if (this.element.hidden) return;
    this._steps = steps;
    const { step } = this.app;
    const at = Number.isFinite(step) ? steps.indexOf(step) : steps.length - 1;
    this._slider.min = steps[0];
    this._slider.max = Math.max(steps.at(-1), steps[0] + 1);
    this._slider.value = steps[at];
    this._slider.setAttribute('aria-valuetext', `step ${steps[at]}`);
    const latest = !Number.isFinite(step);
    fill(this._text, `step ${steps[at]} `, h('span.muted', {}, latest ? '(latest)' : `of ${steps.at(-1)}`));
    this._latest.setAttribute('aria-pressed', latest);
    this._at = steps[at];
    this.tick();
    this._draw();
  }

  /** Tells how old the newest step is. */
  tick() {
    const ages = this.app.shown.map((run) => this.app.age(run)).filter((age) => age !== null);
    const text = ages.length ? `newest step ${ago(Math.min(...ages))}` : '';
    if (this._age.textContent !== text) fill(this._age, text);
  }

  _go(at) {
    const last = this._steps.length - 1;
    // Known at once: further keys may come before the step is drawn.
    this._at = this._steps[Math.min(last, Math.max(0, at))];
    this.app.set({ step: at >= last ? '' : String(this._at) });
  }

  /** The place of the step nearest to a number. */
  _nearest(number) {
    const distances = this._steps.map((step) => Math.abs(step - number));
    return distances.indexOf(Math.min(...distances));
  }

  _place() {
    return this._steps.indexOf(this._at);
  }

  _key(event) {
    const last = this._steps.length - 1;
    const page = Math.ceil(last / 10);
    const to = {
      ArrowLeft: this._place() - 1, ArrowDown: this._place() - 1, ArrowRight: this._place() + 1,
      ArrowUp: this._place() + 1, PageDown: this._place() - page, PageUp: this._place() + page,
      Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this._go(Math.min(last, Math.max(0, to)));
  }

  _toggle() {
    const playing = this._timer !== undefined;
    clearInterval(this._timer);
    this._timer = undefined;
    fill(this._play, playing ? '▶' : '❚❚');
    this._play.title = playing ? 'Play the training (space)' : 'Pause (space)';
    if (playing) return;
    if (!Number.isFinite(this.app.step)) this._go(0);
    this._timer = setInterval(() => {
      const next = this._place() + 1;
      if (next >= this._steps.length || this.element.hidden) this._toggle();
      else this._go(next);
    }, FRAME);
  }

  _pick(event) {
    if (!this._x) return;
    const [px] = place(this._canvas, event);
    this._go(this._nearest(this._stepAt(px)));
  }

  _draw() {
    const { app } = this;
    const runs = app.partsOf(app.api.metrics().data);
    const names = [...new Set(runs.flatMap(({ parts }) => parts.flatMap((part) => part.names)))];
    if (names.join() !== this._names) {
      this._names = names.join();
      const usual = names.includes('loss') ? 'loss' : names[0];
      const chosen = names.includes(this._metric.value) ? this._metric.value : usual;
      fill(this._metric, names.map((name) => h('option', { value: name }, name)));
      if (chosen) this._metric.value = chosen;
    }
    for (const one of [this._canvas.parentElement, this._metric, this._about]) one.hidden = !names.length;
    if (!names.length) return;
    const metric = this._metric.value;
    const width = Math.max(200, this.element.clientWidth - 24);
    this._paint(runs, metric, width);
    const context = surface(this._canvas, width, HEIGHT);
    context.drawImage(this._painted, 0, 0, width, HEIGHT);
    line(context, this._x(this._at), 0, this._x(this._at), HEIGHT, themeColors().ink, 1.5);
    const focused = this._curves.find(({ run }) => run === app.focused);
    const near = focused?.steps.findLastIndex((step) => step <= this._at);
    const told = [aboutMetric(metric), this._marked.broken && 'red: NaN or infinite'].filter(Boolean).join('; ');
    if (this._about.textContent !== told) fill(this._about, told);
    const marks = `${this._marked.above ? '; ▲ above the range shown' : ''}${this._marked.broken ? '; red: NaN or infinite' : ''}`;
    const value = near >= 0 ? `${focused.run.name}: ${metric} ${short(focused.values[near])}` : metric;
    this._canvas.title = value + marks;
    this._slider.setAttribute('aria-valuetext', `step ${this._at}, ${value}`);
  }

  /** Paints the curves, unless they are as they were: the slider moves over them. */
  _paint(runs, metric, width) {
    const { app } = this;
    const [low, high] = [Number(this._slider.min), Number(this._slider.max)];
    const theme = document.documentElement.dataset.theme;
    const shown = JSON.stringify([metric, width, low, high, app.values.hidden, app.values.run, theme, window.devicePixelRatio]);
    const key = [shown, app.runs, app.api.metrics().data, app.api.findings().data];
    if (this._paintedKey && key.every((one, i) => one === this._paintedKey[i])) return;
    this._paintedKey = key;
    this._painted = document.createElement('canvas');
    const curves = runs.map(({ run, parts }) => ({ run, ...history(parts, metric) }));
    this._curves = curves;
    const context = surface(this._painted, width, HEIGHT);
    const colors = themeColors();
    const range = robustRange(curves.map(({ values }) => values));
    const y = makeScale(metricScale(range), range, 3);
    const all = curves.flatMap(({ values }) => [...values]);
    const isAbove = (value) => y.at(value) > 1 + SLACK;
    this._marked = { above: all.some((v) => Number.isFinite(v) && isAbove(v)), broken: all.some((v) => !Number.isFinite(v)) };
    const scale = linearScale(low, high);
    const [top, floor] = [8, HEIGHT - 8];
    this._x = (step) => LEFT + scale.at(step) * (width - LEFT - RIGHT);
    this._stepAt = (x) => low + ((x - LEFT) / (width - LEFT - RIGHT)) * (high - low);
    const py = (value) =>
      Number.isFinite(value) ? floor - Math.max(0, Math.min(1, y.at(value) ?? 0)) * (floor - top) : top - 4;
    for (const { value, text } of y.ticks) {
      line(context, LEFT, py(value), width - RIGHT, py(value), colors.grid);
      write(context, text, LEFT - 6, py(value), { color: colors.muted, align: 'right' });
    }
    for (const { run, steps, values } of curves) {
      context.strokeStyle = run.color;
      context.lineWidth = run === app.focused && app.values.run ? 2.5 : 1.4;
      context.setLineDash(run.dash);
      context.beginPath();
      // Where the metric is NaN or infinite the line ends, and a mark stands above.
      for (const piece of pieces(steps, values)) {
        piece.forEach(([step, value], i) => context[i ? 'lineTo' : 'moveTo'](this._x(step), py(value)));
        const [[step, value]] = piece;
        if (piece.length === 1) context.arc(this._x(step), py(value), 1.5, 0, 7);
      }
      context.stroke();
      context.setLineDash([]);
      steps.forEach((step, i) => {
        if (!Number.isFinite(values[i])) {
          context.fillStyle = colors.bad;
          context.fillRect(this._x(step) - 1, 1, 3, 4);
        } else if (isAbove(values[i])) beyond(context, this._x(step), run.color);
      });
    }
    this._triangles(context, colors);
  }

  /** Where findings begin. */
  _triangles(context, colors) {
    for (const { finding } of findingsOf(this.app)) {
      if (finding.step === null || finding.severity === 'info') continue;
      const at = this._x(finding.step);
      context.fillStyle = finding.severity === 'error' ? colors.bad : colors.accent;
      context.beginPath();
      context.moveTo(at - 4, HEIGHT);
      context.lineTo(at + 4, HEIGHT);
      context.lineTo(at, HEIGHT - 7);
      context.fill();
    }
  }
}

/** Marks a value that lies above what is drawn. */
function beyond(context, x, color) {
  context.fillStyle = color;
  context.beginPath();
  context.moveTo(x - 3, 7);
  context.lineTo(x + 3, 7);
  context.lineTo(x, 2);
  context.fill();
}
