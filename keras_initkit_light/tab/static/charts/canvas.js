// What all charts share: a sharp canvas, the colours of the theme, text that fits.

const FONT = '11px Roboto, "Helvetica Neue", Arial, sans-serif';

/** Sizes a canvas for the screen and returns its cleared context, in CSS pixels. */
export function surface(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    [canvas.width, canvas.height] = [w, h];
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  return context;
}

/** The colours of the theme. */
export function themeColors() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: read('ink'), muted: read('muted'), grid: read('grid'), paper: read('paper'),
    bad: read('bad'), badSoft: read('bad-soft'), accent: read('accent'), fine: read('fine'),
    zeroSoft: read('zero-soft'),
  };
}

const MEASURING = document.createElement('canvas').getContext('2d');

/** How wide the widest of some texts is, in pixels. */
export function widest(texts) {
  MEASURING.font = FONT;
  return Math.max(0, ...texts.map((text) => MEASURING.measureText(text).width));
}

/** Writes text. */
export function write(context, text, x, y, { color, align = 'left', baseline = 'middle' }) {
  context.fillStyle = color;
  context.textAlign = align;
  context.textBaseline = baseline;
  context.fillText(text, x, y);
}

export function line(context, x1, y1, x2, y2, color, width = 1, dash = []) {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
  context.setLineDash([]);
}

/** The names that fit: every n-th, so that labels keep `room` pixels each. */
export function everyNth(count, length, room) {
  return Math.max(1, Math.ceil((count * room) / Math.max(1, length)));
}

/** Where the pointer is, in CSS pixels of the canvas. */
export function place(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}
