// Replies of the plugin's routes (http_api.md), kept until newer ones arrive.

const QUICK = 2; // samples: the first and the last step, cheap to read
const MOST_NAMED = 32; // runs that a request names; of more it asks for all

/**
 * Unpacks a reply of values: length of the header, JSON header, float32.
 *
 * Returns `Map(run -> {parts, notes})`, a part being `{names, steps, values}` with the
 * value of `names[j]` at `steps[i]` in `values[i * names.length + j]`.
 */
export function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  const { runs, tables } = JSON.parse(text);
  const unpacked = new Map();
  for (const { run, parts, notes } of runs) {
    unpacked.set(run, {
      notes,
      parts: parts.map(({ names, steps, offset }) => ({
        names: tables[names],
        steps,
        values: new Float32Array(
          buffer, 4 + length + 4 * offset, steps.length * tables[names].length,
        ),
      })),
    });
  }
  return unpacked;
}

async function request(url, begun = fetch(url)) {
  const response = await begun;
  if (!response.ok) {
    throw new Error(`${response.status} ${(await response.text()).slice(0, 300)}`);
  }
  const binary = response.headers.get('Content-Type').startsWith('application/octet-stream');
  return binary ? decode(await response.arrayBuffer()) : response.json();
}

function urlOf(route, query, runs = []) {
  const named = runs.map((run) => ['run', run]);
  return `./${route}?${new URLSearchParams([...Object.entries(query), ...named])}`;
}

/** The newer reply for the runs that it was asked for, the older one for all others. */
function merged(older, newer, runs) {
  const asked = new Set(runs);
  return new Map([...[...older].filter(([run]) => !asked.has(run)), ...newer]);
}

/**
 * Replies by what was asked for; asks for what is missing and calls `onarrival` when it is
 * there. Where runs have grown since, it asks for these again, and for no others.
 */
export class Api {
  constructor(onarrival) {
    this._entries = new Map();
    this._onarrival = onarrival;
    this._stamps = new Map();
    this.samples = 400;
    this.at = ''; // a step that is to be among the samples
  }

  /**
   * Asks for the index of all runs, now, unless the request has begun: `{stamp, now}` if
   * it is the one that is `known`.
   */
  index(known = '', begun = undefined) {
    return request(urlOf('index', { known }), begun);
  }

  /**
   * Takes the stamps that runs now have, `Map(run -> stamp)`. Replies for other stamps are
   * out of date, and shown until newer ones arrive; what has failed is tried again.
   */
  expire(stamps) {
    this._stamps = stamps;
    for (const entry of this._entries.values()) if (entry.error) entry.stamps = new Map();
  }

  /** Whether replies are awaited. */
  get busy() {
    return [...this._entries.values()].some((entry) => entry.loading);
  }

  /** One column of all tensors, of all runs or of one: `Map(run -> {parts, notes})`. */
  statistic(signal, column, kind = 'statistics', run = null) {
    return this._get('statistic', { signal, column, kind }, { run, sampled: true, quickFirst: run === null });
  }

  /** One tensor, of all runs or of one. */
  tensor(kind, signal, tensor, run = null) {
    return this._get('tensor', { kind, signal, tensor }, { run, sampled: true });
  }

  metrics() {
    return this._get('metrics', {}, { sampled: true });
  }

  /** `Map(run -> findings)` of the runs that were judged. */
  findings() {
    return this._get('findings', {}, { read: ({ runs }) => new Map(Object.entries(runs)) });
  }

  /** `Map(run -> {facts, notes})` of one run. */
  facts(run) {
    return this._get('facts', {}, { run, read: (reply) => new Map([[run, reply]]) });
  }

  /**
   * Returns `{data, error, loading}`; `data` is `undefined` until it has arrived.
   *
   * `run`: the only one that is asked for; `read`: makes the map of a reply; `quickFirst`:
   * asks for two steps ahead of all samples.
   */
  _get(route, query, { run = null, read = (reply) => reply, sampled = false, quickFirst = false }) {
    const key = urlOf(route, query, run === null ? [] : [run]);
    let entry = this._entries.get(key);
    if (!entry) this._entries.set(key, (entry = { data: undefined, stamps: new Map() }));
    if (entry.loading) return entry;
    const runs = run === null ? [...this._stamps.keys()] : [run];
    const old = runs.filter((one) => entry.stamps.get(one) !== this._stamps.get(one));
    if (!old.length) return entry;
    entry.stamps = this._stamps;
    const all = run === null && (old.length === runs.length || old.length > MOST_NAMED);
    const url = (samples) => {
      const which = sampled ? { samples, ...(this.at && { at: this.at }) } : {};
      return urlOf(route, { ...query, ...which }, all ? [] : old);
    };
    const quick = quickFirst && !entry.data ? [url(QUICK)] : [];
    this._fetch(entry, [...quick, url(this.samples)], all ? runs : old, read);
    return entry;
  }

  async _fetch(entry, urls, runs, read) {
    entry.loading = true;
    for (const url of urls) {
      try {
        entry.data = merged(entry.data ?? [], read(await request(url)), runs);
        entry.error = undefined;
      } catch (error) {
        entry.error = error;
      }
      entry.loading = url !== urls.at(-1);
      this._onarrival();
    }
  }
}
