// Elements without innerHTML: every string from a log becomes a text node.

/**
 * Makes an element: h('button.primary', {onclick, title}, 'text', child).
 *
 * Properties that begin with "on" become listeners, others attributes; `null`, `false`
 * and `undefined` are left out, of children too.
 */
export function h(selector, properties = {}, ...children) {
  const [tag, ...classes] = selector.split('.');
  const element = document.createElement(tag || 'div');
  if (classes.length) element.className = classes.join(' ');
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked') element[name] = value;
    else if (name === 'style') element.style.cssText = value;
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  fill(element, ...children);
  return element;
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map((child) => (child instanceof Node ? child : String(child))),
  );
  return element;
}

/** A labelled <select>; `options` is a list of [value, text, title]. */
export function select(label, options, value, onpick, title) {
  const control = h(
    'select',
    { onchange: () => onpick(control.value), title, 'aria-label': label },
    options.map(([key, text, hint]) =>
      h('option', { value: key, title: hint, selected: key === value }, text),
    ),
  );
  control.value = value;
  return h('label.field', {}, h('span', {}, label), control);
}

/** A labelled checkbox. */
export function checkbox(label, checked, onpick, title) {
  const box = h('input', {
    type: 'checkbox',
    checked,
    onchange: () => onpick(box.checked),
  });
  return h('label.check', { title }, box, label);
}

/** A small square in the colour of a run. */
export function swatch(color) {
  return h('span.swatch', { style: `background:${color}`, 'aria-hidden': 'true' });
}

/** A message in the place of a chart. */
export function notice(title, ...text) {
  return h('div.notice', { role: 'status' }, h('strong', {}, title), h('p', {}, text));
}
