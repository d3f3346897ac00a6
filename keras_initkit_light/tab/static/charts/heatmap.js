// A matrix over steps: rows are layers or magnitudes, colours are values.

import { h } from '../dom.js';
import { commonPrefix, commonSuffix, shorten } from '../format.js';
import { Behind } from './behind.js';
import { everyNth, line, place, surface, themeColors, widest, write } from './canvas.js';
import { colorOf, css, NONFINITE, ZERO } from './colors.js';
import { stepScale } from './scale.js';
import { hideTip, showTip, tellTip } from './tooltip.js';

const RIGHT = 10;
const BOTTOM = 22;
const TOP = 4;
const MOST_TICK = 24; // pixels of the word below the labels

/**
 * A heat map.
 *
 * `show(spec)` draws:
 *   names: the rows from top to bottom;
 *   steps: ascending whole numbers, one a column; columns meet half way between theirs;
 *   value(column, row): a number, or `null` where there is none;
 *   scale: from `makeScale`;
 *   height; markedRow, markedStep;
 *   tip(column, row): nodes for the tooltip.
 */
export class HeatMap {
  constructor({ label, onpick }) {
    this.canvas = h('canvas', {
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'heat map',
      'aria-label': label,
      onmousemove: (event) => this._hover(event),
      onmouseleave: () => this._leave(),
      onclick: (event) => {
        const cell = this._cell(...place(this.canvas, event));
        if (cell) onpick?.(...cell);
      },
      onkeydown: (event) => this._key(event, onpick),
      onblur: () => this._leave(),
    });
    this._behind = new Behind(() => this._rows());
    this.element = h('div.chart', {}, this.canvas, this._behind.element);
    this._cursor = null;
  }

  show(spec) {
    this.spec = spec;
    this._draw();
    this._behind.update();
  }

  /** What is drawn, as a table: a row a name, a column a step. */
  _rows() {
    const { names, steps, value } = this.spec ?? { names: [], steps: [] };
    const rows = names.map((name, row) => [name, steps.map((_, column) => value(column, row))]);
    return { corner: 'step', columns: steps.map(String), rows };
  }

  _layout() {
    const { spec } = this;
    const width = Math.max(180, this.element.clientWidth);
    const prefix = commonPrefix(spec.names);
    const room = Math.max(8, Math.floor(width / 26));
    const suffix = commonSuffix(spec.names);
    const labels = spec.names.map((name) =>
      shorten(name.slice(prefix.length, name.length - suffix.length), room),
    );
    const left = Math.min(width * 0.42, 12 + Math.max(widest(labels), MOST_TICK));
    const plot = {
      left, top: TOP, width: width - left - RIGHT, height: spec.height - TOP - BOTTOM,
    };
    const steps = stepScale(spec.steps[0], spec.steps.at(-1), plot.width / 70);
    // Where columns begin and end, in [0, 1].
    const middles = spec.steps.slice(1).map((step, i) => steps.at((step + spec.steps[i]) / 2));
    return { width, plot, labels, steps, edges: [0, ...middles, 1] };
  }

  _draw() {
    const { spec } = this;
    const colors = themeColors();
    this._geometry = this._layout();
    const { width, plot, labels, steps, edges } = this._geometry;
    const context = surface(this.canvas, width, spec.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(this._image(), plot.left, plot.top, plot.width, plot.height);
    const row = plot.height / spec.names.length;
    const nth = everyNth(spec.names.length, plot.height, 13);
    labels.forEach((text, i) => {
      if (i % nth) return;
      write(context, text, plot.left - 6, plot.top + (i + 0.5) * row, {
        color: i === spec.markedRow ? colors.accent : colors.ink, align: 'right',
      });
    });
    const floor = plot.top + plot.height;
    for (const { value, text } of steps.ticks) {
      const at = plot.left + steps.at(value) * plot.width;
      line(context, at, floor, at, floor + 3, colors.muted);
      write(context, text, at, floor + 12, { color: colors.muted, align: 'center' });
    }
    write(context, 'step', plot.left - 6, floor + 12, { color: colors.muted, align: 'right' });
    if (spec.markedRow >= 0) {
      for (const [color, width] of [['#ffffff', 3.5], ['#000000', 1.5]]) {
        context.strokeStyle = color;
        context.lineWidth = width;
        context.strokeRect(plot.left, plot.top + spec.markedRow * row, plot.width, row);
      }
    }
    if (spec.markedStep !== undefined && spec.markedStep !== null) {
      const at = plot.left + Math.min(1, Math.max(0, steps.at(spec.markedStep))) * plot.width;
      line(context, at, plot.top, at, floor, '#ffffff', 3);
      line(context, at, plot.top, at, floor, '#000000', 1);
    }
    if (this._cursor) {
      const [column, r] = this._cursor;
      const [x1, x2] = [edges[column], edges[column + 1]].map((at) => plot.left + at * plot.width);
      context.strokeStyle = colors.ink;
      context.lineWidth = 1.5;
      context.strokeRect(x1, plot.top + r * row, Math.max(2, x2 - x1), row);
    }
  }

  /** The cells as a picture of one pixel a row and about one a screen pixel a column. */
  _image() {
    const { spec } = this;
    const { plot, edges } = this._geometry;
    const width = Math.max(1, Math.round(plot.width));
    const height = spec.names.length;
    const kept = this._picture;
    if (kept?.width === width && kept.value === spec.value && kept.scale === spec.scale) {
      return kept.canvas;
    }
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext('2d');
    const image = context.createImageData(width, height);
    let column = 0;
    for (let x = 0; x < width; x++) {
      while (column + 1 < spec.steps.length && edges[column + 1] <= (x + 0.5) / width) column++;
      for (let row = 0; row < height; row++) {
        const value = spec.value(column, row);
        if (value === null) continue;
        const [red, green, blue] = colorOf(value, spec.scale);
        image.data.set([red, green, blue, 255], 4 * (row * width + x));
      }
    }
    context.putImageData(image, 0, 0);
    this._picture = { width, value: spec.value, scale: spec.scale, canvas };
    return canvas;
  }

  _cell(px, py) {
    if (!this.spec) return null;
    const { plot, edges } = this._geometry;
    const row = Math.floor(((py - plot.top) / plot.height) * this.spec.names.length);
    const at = (px - plot.left) / plot.width;
    if (row < 0 || row >= this.spec.names.length || at < 0 || at > 1) return null;
    return [Math.min(this.spec.steps.length - 1, edges.findLastIndex((edge) => edge <= at)), row];
  }

  _hover(event) {
    const cell = this._cell(...place(this.canvas, event));
    if (!cell) return this._leave();
    this._cursor = cell;
    this._draw();
    return showTip(event.clientX, event.clientY, this.spec.tip(...cell));
  }

  _key(event, onpick) {
    if (event.key === 'Escape') return this._leave();
    if (event.key === 'Enter' && this._cursor) return onpick?.(...this._cursor);
    const move = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
      Home: [-Infinity, 0], End: [Infinity, 0],
    }[event.key];
    if (!move || !this.spec) return undefined;
    event.preventDefault();
    const { steps, names } = this.spec;
    const [column, row] = this._cursor ?? [-Math.sign(move[0]), -Math.sign(move[1])];
    this._cursor = [
      Math.min(steps.length - 1, Math.max(0, column + move[0])),
      Math.min(names.length - 1, Math.max(0, row + move[1])),
    ];
    this._draw();
    const box = this.canvas.getBoundingClientRect();
    tellTip(box.left + box.width / 2, box.top + 20, this.spec.tip(...this._cursor));
    return undefined;
  }

  _leave() {
    hideTip();
    if (!this._cursor) return;
    this._cursor = null;
    this._draw();
  }
}

const KEY_LEFT = 18; // room for half of the first tick

/** The key to the colours: a bar with ticks, and boxes for zero and not finite. */
export function legend(canvas, scale, title, { zero, nonfinite }) {
  const colors = themeColors();
  const bar = 220;
  const context = surface(canvas, 520, 34);
  const image = context.createLinearGradient(KEY_LEFT, 0, KEY_LEFT + bar, 0);
  for (let i = 0; i <= 32; i++) {
    const at = i / 32;
    image.addColorStop(at, css(colorOf(at, { at: (t) => t, kind: scale.kind })));
  }
  context.fillStyle = image;
  context.fillRect(KEY_LEFT, 4, bar, 10);
  for (const { value, text } of scale.ticks) {
    const at = scale.at(value);
    write(context, text, KEY_LEFT + at * bar, 23, { color: colors.muted, align: 'center' });
  }
  let left = KEY_LEFT + bar + 18;
  const box = (color, text) => {
    context.fillStyle = css(color);
    context.fillRect(left, 4, 10, 10);
    write(context, text, left + 14, 9.5, { color: colors.ink });
    left += 24 + context.measureText(text).width;
  };
  if (zero && scale.kind === 'log') box(ZERO, 'zero');
  if (nonfinite) box(NONFINITE, 'NaN, ∞');
  write(context, title, left, 9.5, { color: colors.muted });
}
