// The one tooltip of the page.

import { fill, h } from '../dom.js';

const element = h('div.tooltip', { role: 'status', 'aria-live': 'polite', hidden: true });

/** Shows nodes next to a point of the window. */
export function showTip(x, y, nodes) {
  if (!element.isConnected) document.body.append(element);
  fill(element, nodes);
  element.hidden = false;
  const { width, height } = element.getBoundingClientRect();
  const left = x + 16 + width > innerWidth ? x - 16 - width : x + 16;
  const top = Math.min(Math.max(4, y - height / 2), innerHeight - height - 4);
  element.style.left = `${Math.max(4, left)}px`;
  element.style.top = `${Math.max(4, top)}px`;
}

export function hideTip() {
  element.hidden = true;
}
