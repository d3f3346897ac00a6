// Replies of the plugin's routes (http_api.md), kept until newer ones arrive.

const QUICK = 2; // samples: the first and the last step, cheap to read

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

/** Replies by URL; asks for what is missing and calls `onarrival` when it is there. */
export class Api {
  constructor(onarrival) {
    this._entries = new Map();
    this._onarrival = onarrival;
    this._generation = 0;
    this.samples = 400;
  }

  /** Asks for the index of all runs, now, unless the request has begun. */
  index(begun) {
    return request('./index', begun);
  }

  /** From now on replies are out of date; they are shown until newer ones arrive. */
  expire() {
    this._generation++;
  }

  /** Whether replies are awaited. */
  get busy() {
    return [...this._entries.values()].some((entry) => entry.loading);
  }

  statistic(signal, column, kind = 'statistics') {
    const query = { signal, column, kind };
    return this._get('statistic', query, true);
  }

  tensor(kind, signal, tensor, run) {
    return this._get('tensor', { kind, signal, tensor, run });
  }

  /** One tensor of all runs. */
  tensors(kind, signal, tensor) {
    return this._get('tensor', { kind, signal, tensor });
  }

  metrics() {
    return this._get('metrics', {});
  }

  findings() {
    return this._get('findings', null);
  }

  facts(run) {
    return this._get('facts', { run }, false, false);
  }

  /** Returns `{data, error, loading}`; `data` is `undefined` until it has arrived. */
  _get(route, query, quickFirst = false, sampled = query !== null) {
    const key = `${route}?${new URLSearchParams(query ?? {})}`;
    let entry = this._entries.get(key);
    if (!entry) this._entries.set(key, (entry = { data: undefined, generation: -1 }));
    if (entry.generation < this._generation) {
      entry.generation = this._generation;
      const url = (samples) => `./${key}${sampled ? `&samples=${samples}` : ''}`;
      const urls = quickFirst && !entry.data ? [url(QUICK)] : [];
      this._fetch(entry, [...urls, url(this.samples)]);
    }
    return entry;
  }

  async _fetch(entry, urls) {
    const generation = entry.generation;
    entry.loading = true;
    for (const url of urls) {
      try {
        const data = await request(url);
        if (generation < entry.generation) return;
        entry.data = data;
        entry.error = undefined;
      } catch (error) {
        if (generation < entry.generation) return;
        entry.error = error;
      }
      entry.loading = url !== urls.at(-1);
      this._onarrival();
    }
  }
}
