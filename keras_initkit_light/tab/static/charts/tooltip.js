// The one tooltip of the page, and what a screen reader says of it.

import { fill, h } from '../dom.js';

const element = h('div.tooltip', { hidden: true });
const spoken = h('div.unseen', { role: 'status', 'aria-live': 'polite' });
// A region that comes with its text is not read out: it has to be there before.
document.body.append(element, spoken);

/** Shows nodes next to a point of the window. */
export function showTip(x, y, nodes) {
  fill(element, nodes);
  element.hidden = false;
  const { width, height } = element.getBoundingClientRect();
  const left = x + 16 + width > innerWidth ? x - 16 - width : x + 16;
  const top = Math.min(Math.max(4, y - height / 2), innerHeight - height - 4);
  element.style.left = `${Math.max(4, left)}px`;
  element.style.top = `${Math.max(4, top)}px`;
}

/** Shows nodes, and has them read out: the keyboard asked for them. */
export function tellTip(x, y, nodes) {
  showTip(x, y, nodes);
  const lines = [...element.children].flatMap((child) => [...(child.rows ?? [child])]);
  const cells = (line) => [...(line.cells ?? [line])].map((cell) => cell.textContent).filter(Boolean);
  fill(spoken, lines.map((line) => cells(line).join(' ')).join('. '));
}

export function hideTip() {
  element.hidden = true;
}
