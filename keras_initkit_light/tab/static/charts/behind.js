// The table behind a chart: its values for who does not see it, made when it is opened.

import { fill, h } from '../dom.js';
import { short } from '../format.js';

const MOST_ROWS = 200;
const MOST_COLUMNS = 24;

/** Some of many, evenly spread, with the first and the last. */
function spread(items, most) {
  if (items.length <= most) return items;
  return Array.from({ length: most }, (_, i) => items[Math.round((i * (items.length - 1)) / (most - 1))]);
}

/**
 * A table that opens below a chart.
 *
 * `read()` gives `{corner, columns, rows: [[heading, values]...]}`, columns being texts and
 * values as many numbers; `null` where there is nothing.
 */
export class Behind {
  constructor(read) {
    this._read = read;
    this._body = h('div.scroll', { tabindex: 0, role: 'group', 'aria-label': 'Values of the chart' });
    this.element = h('details.behind', { ontoggle: () => this.update() }, h('summary', {}, 'Values as a table'), this._body);
  }

  /** Shows the values as they now are, if the table is open. */
  update() {
    if (!this.element.open) return;
    const { corner, columns, rows } = this._read() ?? { corner: '', columns: [], rows: [] };
    const places = spread([...columns.keys()], MOST_COLUMNS);
    const cut = spread(rows, MOST_ROWS);
    const left = cut.length < rows.length || places.length < columns.length;
    fill(
      this._body,
      h(
        'table',
        {},
        left && h('caption', {}, `${cut.length} of ${rows.length} rows, ${places.length} of ${columns.length} columns; CSV has all of them`),
        h('tr', {}, [corner, ...places.map((i) => columns[i])].map((text) => h('th', { scope: 'col' }, text))),
        cut.map(([heading, values]) =>
          h('tr', {}, h('th', { scope: 'row' }, heading), places.map((i) => h('td.number', {}, short(values[i]))))),
      ),
    );
  }
}
