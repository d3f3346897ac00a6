// What the reader has chosen: one flat object, mirrored in the URL.

import * as host from './host.js';

export const DEFAULTS = {
  view: 'profile',
  signal: 'activation', // of the first chart
  second: 'backprop', // of the second chart; '' hides it
  stat: 'rms',
  scale: 'auto',
  weights: 'kernels', // which weights of a layer
  x: 'auto', // how layers of several models share an axis
  step: '', // '' follows the newest
  pinned: true, // show step 0
  theory: true,
  layer: '',
  run: '', // the one looked at
  against: '', // the run it is compared with; '' the next one, '/' its own first step
  hidden: [],
  filter: '', // of the run list
  worstFirst: false, // in it
  group: '',
  severity: '',
  rule: '',
  search: '',
  cleared: false,
};

export class State {
  constructor(onchange) {
    this._onchange = onchange;
    const chosen = parse(host.readHash());
    /** Whether the reader, or who gave the link, has chosen anything. */
    this.isChosen = Object.keys(chosen).length > 0;
    this.values = { ...DEFAULTS, ...chosen };
    host.followHash(() => {
      this.values = { ...DEFAULTS, ...parse(host.readHash()) };
      onchange();
    });
  }

  /** Changes some of the values for who has chosen nothing; the URL stays as it is. */
  suggest(patch) {
    Object.assign(this.values, patch);
  }

  /** Changes some of the values. */
  set(patch) {
    this.isChosen = true;
    Object.assign(this.values, patch);
    this.save();
    this._onchange();
  }

  /** Writes what differs from the defaults to the URL. */
  save() {
    const changed = {};
    for (const [key, normal] of Object.entries(DEFAULTS)) {
      const value = this.values[key];
      const text = typeof normal === 'string' ? value : JSON.stringify(value);
      const usual = typeof normal === 'string' ? normal : JSON.stringify(normal);
      if (text !== usual) changed[key] = text;
    }
    host.writeHash(changed);
  }
}

/** Takes from a URL what has the type it should have. */
function parse(texts) {
  const values = {};
  for (const [key, text] of Object.entries(texts)) {
    if (!Object.hasOwn(DEFAULTS, key)) continue;
    const normal = DEFAULTS[key];
    if (typeof normal === 'string') {
      values[key] = text;
      continue;
    }
    try {
      const value = JSON.parse(text);
      const fits = Array.isArray(normal)
        ? Array.isArray(value) && value.every((one) => typeof one === 'string')
        : typeof value === typeof normal;
      if (fits) values[key] = value;
    } catch {
      // A URL that somebody has cut short.
    }
  }
  return values;
}
