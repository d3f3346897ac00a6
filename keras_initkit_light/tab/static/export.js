// What is shown, as a file.

import { themeColors } from './charts/canvas.js';
import { csv } from './format.js';

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  [link.href, link.download] = [url, name];
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function saveCsv(rows, name) {
  save(new Blob([csv(rows)], { type: 'text/csv;charset=utf-8' }), `${name}.csv`);
}

/**
 * Saves the charts of a view as one picture: each <figure> with its caption, then the
 * legend `[{color, text}]`.
 */
export function savePng(view, legend, name) {
  const figures = [...view.querySelectorAll('figure')]
    .map((figure) => ({
      title: figure.dataset.title ?? '',
      canvases: [...figure.querySelectorAll('canvas')].filter((one) => one.width),
    }))
    .filter(({ canvases }) => canvases.length);
  const ratio = window.devicePixelRatio || 1;
  const [pad, head] = [12 * ratio, 26 * ratio];
  const width = Math.max(640 * ratio, ...figures.flatMap((f) => f.canvases.map((c) => c.width)));
  const heights = figures.map((f) => head + f.canvases.reduce((sum, c) => sum + c.height, 0));
  const canvas = document.createElement('canvas');
  canvas.width = width + 2 * pad;
  canvas.height = heights.reduce((a, b) => a + b, 2 * pad) + legend.length * 18 * ratio;
  const context = canvas.getContext('2d');
  const colors = themeColors();
  context.fillStyle = colors.paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.textBaseline = 'middle';
  context.font = `${13 * ratio}px sans-serif`;
  let y = pad;
  for (const { title, canvases } of figures) {
    context.fillStyle = colors.ink;
    context.fillText(title, pad, y + head / 2);
    y += head;
    for (const one of canvases) {
      context.drawImage(one, pad, y);
      y += one.height;
    }
  }
  for (const { color, text } of legend) {
    context.fillStyle = color;
    context.fillRect(pad, y + 4 * ratio, 10 * ratio, 10 * ratio);
    context.fillStyle = colors.ink;
    context.fillText(text, pad + 16 * ratio, y + 9 * ratio);
    y += 18 * ratio;
  }
  canvas.toBlob((blob) => save(blob, `${name}.png`), 'image/png');
}
