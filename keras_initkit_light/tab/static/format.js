// Numbers and names as text.

const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** The shortest decimal that reads back as this float32. */
export function exact(value) {
  if (value === null || value === undefined) return '—';
  if (!Number.isFinite(value)) return special(value);
  if (value === 0) return '0';
  for (let digits = 1; digits < 10; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === Math.fround(value)) return tidy(text);
  }
  return tidy(value.toPrecision(9));
}

/** Three digits, or more where three do not tell values apart. */
export function short(value, digits = 3) {
  if (value === null || value === undefined) return '—';
  if (typeof value === 'string') return value;
  if (!Number.isFinite(value)) return special(value);
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return tidy(value.toExponential(digits > 3 ? digits - 1 : 1));
  return tidy(value.toPrecision(digits));
}

function special(value) {
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '∞' : '−∞';
}

function tidy(text) {
  const number = Number(text);
  const size = Math.abs(number);
  if (size >= 1e6 || size < 1e-4) {
    return number
      .toExponential()
      .replace('e+', 'e')
      .replace('-', '−')
      .replace('e-', 'e−');
  }
  return String(number).replace('-', '−');
}

/** 10ⁿ, or another base. */
export function powerOfTen(exponent, base = 10) {
  if (exponent === 0) return '1';
  const digits = [...String(Math.abs(exponent))].map((d) => SUPERSCRIPTS[d]).join('');
  return `${base}${exponent < 0 ? '⁻' : ''}${digits}`;
}

/** A factor in words: "×2.1", "÷4,000", "÷10⁹". */
export function factor(ratio) {
  if (Number.isNaN(ratio)) return '—';
  if (ratio === 0) return 'to 0';
  if (ratio === Infinity) return 'from 0';
  const [sign, size] = ratio >= 1 ? ['×', ratio] : ['÷', 1 / ratio];
  if (size < 10) return sign + size.toFixed(1);
  if (size < 1e4) return sign + Math.round(size).toLocaleString('en');
  return `${sign}${powerOfTen(Math.round(Math.log10(size)))}`;
}

/** How long ago something was, of seconds. */
export function ago(seconds) {
  const [unit, size] = [['d', 86_400], ['h', 3600], ['min', 60], ['s', 0]].find(([, least]) => seconds >= least);
  return `${Math.floor(seconds / (size || 1))} ${unit} ago`;
}

const METRICS = {
  loss: 'mean since the previous recorded step',
  monitor_overhead: 'extra time of monitored steps, as a share of the training time so far',
  skipped_steps: 'steps skipped so far, as their scaled gradients were not finite',
};

/** What the values of a metric are. */
export function aboutMetric(name) {
  if (Object.hasOwn(METRICS, name)) return METRICS[name];
  return name.startsWith('val_') ? 'over the validation data' : 'as Keras reports it: over the epoch so far';
}

/** Cuts a long name in the middle. */
export function shorten(text, length) {
  const points = [...text];
  if (points.length <= length) return text;
  const tail = Math.ceil((length - 1) * 0.6);
  return `${points.slice(0, length - 1 - tail).join('')}…${points.slice(-tail).join('')}`;
}

/** What all names begin with, up to a letter that separates words: for layers, "/". */
export function commonPrefix(names, separators = '/') {
  if (names.length < 2) return '';
  const [first] = names;
  let shared = 0;
  for (let i = 0; i < first.length && names.every((name) => name[i] === first[i]); i++) {
    if (separators.includes(first[i])) shared = i + 1;
  }
  return first.slice(0, shared);
}

/** What all names end with, from a ":" or "/" on: the weight that all are, or the layer in its block. */
export function commonSuffix(names) {
  if (names.length < 2) return '';
  const [first] = names;
  let shared = first.length;
  for (let i = 1; i < first.length && names.every((name) => name.length > i && name.at(-i) === first.at(-i)); i++) {
    if (':/'.includes(first.at(-i))) shared = first.length - i;
  }
  return first.slice(shared);
}

/** Rows of cells as CSV (RFC 4180); no cell can start a spreadsheet formula. */
export function csv(rows) {
  const cell = (value) => {
    let text = value === null || value === undefined ? '' : String(value);
    if (typeof value === 'string' && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}
