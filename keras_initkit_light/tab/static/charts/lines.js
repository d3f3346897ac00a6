// Lines over layers or steps, with a lane for zeros and one for what is not finite.

import { h } from '../dom.js';
import { commonPrefix, commonSuffix, short, shorten } from '../format.js';
import { Behind } from './behind.js';
import { everyNth, line, place, surface, themeColors, widest, write } from './canvas.js';
import { makeScale, stepScale } from './scale.js';
import { hideTip, showTip, tellTip } from './tooltip.js';

const LEFT = 52;
const RIGHT = 14;
const LONGEST = 20; // letters of a label
const LANE = 20; // height of a lane in pixels
const SLANT = -Math.PI / 5;
const APART = 24; // pixels between slanted labels, of which none may touch the next

/**
 * A chart of lines.
 *
 * `show(spec)` draws:
 *   x: `{names}` (one place a name) or `{low, high, title}` (whole numbers);
 *   y: `{kind, range}` as `makeScale` takes them;
 *   lines: `[{label, color, dash, width, alpha, points: [[x, y]...], dots}]`, `y` being `null`
 *     where there is no value (the line has a gap);
 *   bands: `[{color, points: [[x, low, high]...]}]`;
 *   marks: places on the x axis to mark;
 *   height, and `tip(place, line)`: nodes for the tooltip.
 */
export class LineChart {
  constructor({ label, onpick }) {
    this.canvas = h('canvas', {
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'chart',
      'aria-label': label,
      onmousemove: (event) => this._hover(...place(this.canvas, event), event),
      onmouseleave: () => this._leave(),
      onclick: (event) => {
        this._hover(...place(this.canvas, event), event);
        if (this._at !== null) onpick?.(this._at, this._nearest);
      },
      onkeydown: (event) => this._key(event, onpick),
      onblur: () => this._leave(),
    });
    this._behind = new Behind(() => this._rows());
    this.element = h('div.chart', {}, this.canvas, this._behind.element);
    this._at = null;
    this._nearest = null;
  }

  show(spec) {
    this.spec = spec;
    this._draw();
    this._behind.update();
  }

  /** What is drawn, as a table: a row a place, a column a line. */
  _rows() {
    const { x, lines } = this.spec ?? { lines: [] };
    const named = lines.filter(({ label }) => label !== undefined);
    const byPlace = named.map(({ points }) => new Map(points));
    const rows = this._places(named).map((at) => [x.names?.[at] ?? short(at), byPlace.map((values) => values.get(at))]);
    return { corner: x?.names ? 'layer' : (x?.title ?? ''), columns: named.map(({ label }) => label), rows };
  }

  /** All places of some lines on the x axis, ascending. */
  _places(lines) {
    return [...new Set(lines.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  }

  _layout() {
    const { spec } = this;
    const width = Math.max(200, this.element.clientWidth);
    const names = spec.x.names;
    const prefix = names ? commonPrefix(names) : '';
    const suffix = names ? commonSuffix(names) : '';
    const labels = names?.map((name) => shorten(name.slice(prefix.length, name.length - suffix.length), LONGEST));
    // A title that does not fit beside the ticks has a line of its own below them.
    const isLong = !names && widest([spec.x.title]) > LEFT - 8;
    const bottom = names ? 20 - widest(labels) * Math.sin(SLANT) : isLong ? 40 : 26;
    const { range, kind } = spec.y;
    const top = 8 + (range.nonfinite ? LANE : 0);
    const lower = kind === 'log' && range.zero ? LANE : 0;
    const plot = {
      left: LEFT,
      top,
      width: width - LEFT - RIGHT,
      height: spec.height - top - lower - bottom,
    };
    const scale = makeScale(kind, range, Math.max(2, Math.floor(plot.height / 36)));
    const floor = plot.top + plot.height;
    const y = (value) => {
      if (!Number.isFinite(value)) return plot.top - LANE / 2;
      const at = scale.at(value);
      return at === null ? floor + LANE / 2 : floor - Math.min(1.02, Math.max(-0.02, at)) * plot.height;
    };
    const xScale = names ? null : stepScale(spec.x.low, spec.x.high, plot.width / 80);
    const margin = names ? Math.min(16, plot.width / names.length / 2) : 0;
    const inner = plot.width - 2 * margin;
    const x = names
      ? (i) => plot.left + margin + (names.length > 1 ? (i / (names.length - 1)) * inner : inner / 2)
      : (value) => plot.left + xScale.at(value) * plot.width;
    return { width, plot, scale, floor, lower, x, y, xScale, labels, isLong };
  }

  _draw() {
    const { spec } = this;
    const colors = themeColors();
    this._geometry = this._layout();
    const { width, plot, x, y } = this._geometry;
    const context = surface(this.canvas, width, spec.height);
    this._axes(context, colors);
    context.save();
    context.beginPath();
    context.rect(plot.left, 0, plot.width + RIGHT, spec.height);
    context.clip();
    for (const band of spec.bands ?? []) this._band(context, band);
    for (const mark of spec.marks ?? []) {
      line(context, x(mark), 4, x(mark), plot.top + plot.height, colors.accent, 1.5, [4, 3]);
    }
    if (this._at !== null) {
      line(context, x(this._at), 4, x(this._at), plot.top + plot.height, colors.muted, 1);
    }
    for (const one of spec.lines) this._line(context, one, colors);
    if (this._nearest && this._at !== null) {
      const point = this._nearest.points.find((p) => p[0] === this._at);
      if (point && point[1] !== null) {
        context.beginPath();
        context.arc(x(point[0]), y(point[1]), 5, 0, 7);
        context.fillStyle = this._nearest.color;
        context.fill();
      }
    }
    context.restore();
  }

  _axes(context, colors) {
    const { spec } = this;
    const { plot, scale, floor, lower, x, y, xScale, labels, isLong } = this._geometry;
    const right = plot.left + plot.width;
    if (spec.y.range.nonfinite) {
      context.fillStyle = colors.badSoft;
      context.fillRect(plot.left, plot.top - LANE, plot.width, LANE);
      write(context, 'NaN, ∞', plot.left - 6, plot.top - LANE / 2, { color: colors.bad, align: 'right' });
    }
    if (lower) {
      context.fillStyle = colors.zeroSoft;
      context.fillRect(plot.left, floor, plot.width, LANE);
      write(context, 'zero', plot.left - 6, floor + LANE / 2, { color: colors.ink, align: 'right' });
    }
    for (const { value, text } of scale.ticks) {
      line(context, plot.left, y(value), right, y(value), colors.grid);
      if (spec.y.range.nonfinite && y(value) < plot.top + 8) continue; // the lane's name
      write(context, text, plot.left - 6, y(value), { color: colors.muted, align: 'right' });
    }
    line(context, plot.left, floor + lower, right, floor + lower, colors.muted);
    const base = floor + lower + 6;
    if (!labels) {
      const [at, below] = isLong ? [plot.left + plot.width / 2, 18] : [plot.left - 6, 4];
      write(context, spec.x.title, at, base + below, { color: colors.muted, align: isLong ? 'center' : 'right' });
      for (const { value, text } of xScale.ticks) {
        write(context, text, x(value), base + 4, { color: colors.muted, align: 'center' });
      }
      return;
    }
    const nth = everyNth(labels.length, plot.width, APART);
    labels.forEach((text, i) => {
      line(context, x(i), floor + lower, x(i), floor + lower + 3, colors.muted);
      const last = labels.length - 1;
      if (i !== last && (i % nth || last - i < nth)) return;
      context.save();
      context.translate(x(i) + 4, base);
      context.rotate(SLANT);
      // The first labels have less room on their left.
      write(context, shorten(text, Math.max(4, Math.floor(x(i) / 5.2))), 0, 2, { color: colors.ink, align: 'right' });
      context.restore();
    });
  }

  _band(context, { color, points }) {
    const { x, y } = this._geometry;
    context.globalAlpha = 0.18;
    context.fillStyle = color;
    context.beginPath();
    points.forEach(([at, , high], i) => context[i ? 'lineTo' : 'moveTo'](x(at), y(high)));
    [...points].reverse().forEach(([at, low]) => context.lineTo(x(at), y(low)));
    context.closePath();
    context.fill();
    context.globalAlpha = 1;
  }

  _line(context, { color, dash = [], width = 2, alpha = 1, points, dots = false }, colors) {
    const { x, y, scale } = this._geometry;
    context.globalAlpha = alpha;
    context.strokeStyle = color;
    context.lineWidth = this._nearest?.points === points ? width + 1.5 : width;
    context.lineJoin = 'round';
    context.setLineDash(dash);
    context.beginPath();
    let pen = false;
    for (const [at, value] of points) {
      if (value === null) pen = false;
      else {
        context[pen ? 'lineTo' : 'moveTo'](x(at), y(value));
        pen = true;
      }
    }
    context.stroke();
    context.setLineDash([]);
    const alone = (i) => (points[i - 1]?.[1] ?? null) === null && (points[i + 1]?.[1] ?? null) === null;
    for (const [i, [at, value]] of points.entries()) {
      if (value !== null && (dots || alone(i))) {
        if (!Number.isFinite(value)) cross(context, x(at), y(value), colors.bad);
        else {
          context.beginPath();
          context.arc(x(at), y(value), 2.6, 0, 7);
          const zero = scale.at(value) === null;
          context.fillStyle = zero ? colors.paper : color;
          context.fill();
          if (zero) context.stroke();
        }
      }
    }
    context.globalAlpha = 1;
  }

  /** Looks for the x place, and at it for the line, nearest to a point. */
  _find(px, py) {
    const { x, y } = this._geometry;
    let [best, distance] = [null, Infinity];
    for (const one of this.spec.lines) {
      for (const [at] of one.points) {
        const away = Math.abs(x(at) - px);
        if (away < distance) [best, distance] = [at, away];
      }
    }
    let [nearest, away] = [null, Infinity];
    for (const one of this.spec.lines) {
      if (one.quiet) continue;
      const point = one.points.find((p) => p[0] === best);
      if (!point || point[1] === null) continue;
      const d = Math.abs(y(point[1]) - py);
      if (d < away) [nearest, away] = [one, d];
    }
    return [best, nearest];
  }

  _hover(px, py, event) {
    if (!this.spec) return;
    const [at, nearest] = this._find(px, py);
    if (at === null) return;
    const moved = at !== this._at || nearest !== this._nearest;
    [this._at, this._nearest] = [at, nearest];
    if (moved) this._draw();
    showTip(event.clientX, event.clientY, this.spec.tip(at, nearest));
  }

  _key(event, onpick) {
    if (event.key === 'Escape') return this._leave();
    if (event.key === 'Enter' && this._at !== null) return onpick?.(this._at, this._nearest);
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!move || !this.spec) return undefined;
    event.preventDefault();
    const places = this._places(this.spec.lines);
    if (!places.length) return undefined;
    const next = Math.min(places.length - 1, Math.max(0, places.indexOf(this._at) + move));
    this._at = places[next];
    const [, nearest] = this._find(this._geometry.x(this._at), 0);
    this._nearest = nearest;
    this._draw();
    const box = this.canvas.getBoundingClientRect();
    tellTip(box.left + this._geometry.x(this._at), box.top + box.height / 2, this.spec.tip(this._at, nearest));
    return undefined;
  }

  _leave() {
    hideTip();
    if (this._at === null) return;
    [this._at, this._nearest] = [null, null];
    this._draw();
  }
}

function cross(context, x, y, color) {
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x - 3.5, y - 3.5);
  context.lineTo(x + 3.5, y + 3.5);
  context.moveTo(x + 3.5, y - 3.5);
  context.lineTo(x - 3.5, y + 3.5);
  context.stroke();
}
