// What the tab knows of the TensorBoard around it.
//
// The four messages are TensorBoard's plugin interface. Theme, URL and run colours are
// not part of it and are read from the parent document, or left at a default.

const RUN_COLORS = [
  '#ff7043', '#0077bb', '#cc3311', '#33bbee', '#ee3377', '#009988', '#bbbbbb',
];
const PREFIX = 'p.initkit.';

/** Calls `onreload` when TensorBoard has reloaded its data. */
export function connect(onreload) {
  const channel = new MessageChannel();
  channel.port1.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.isReply) return;
    if (/\.(DataReloaded|RunsChanged)$/.test(message.type)) onreload();
    channel.port1.postMessage(
      JSON.stringify({ type: message.type, id: message.id, payload: null, error: null, isReply: true }),
    );
  };
  if (window.parent !== window) {
    window.parent.postMessage('experimental.bootstrap', '*', [channel.port2]);
  }
}

/** Colours of runs by name, as in the Scalars dashboard. */
export async function runColors() {
  const response = await fetch('../../runs');
  const runs = response.ok ? await response.json() : [];
  return new Map(runs.map((run, i) => [run, RUN_COLORS[i % RUN_COLORS.length]]));
}

export function defaultColor(i) {
  return RUN_COLORS[i % RUN_COLORS.length];
}

/** Follows TensorBoard's dark mode. */
export function followTheme(onchange) {
  const apply = () => {
    const theme = isDark() ? 'dark' : 'light';
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    onchange();
  };
  apply();
  fromParent((parent) => {
    const observer = new MutationObserver(apply);
    observer.observe(parent.document.body, { attributes: true, attributeFilter: ['class'] });
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply);
}

function isDark() {
  return fromParent(
    (parent) => parent.document.body.classList.contains('dark-mode'),
    () => matchMedia('(prefers-color-scheme: dark)').matches,
  );
}

/** The tab's part of the URL: `{key: text}`. */
export function readHash() {
  const hash = fromParent((parent) => parent.location.hash) ?? location.hash;
  const found = {};
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ''))) {
    if (key.startsWith(PREFIX)) found[key.slice(PREFIX.length)] = value;
  }
  return found;
}

/** Puts the tab's state into the URL, so that it can be sent to somebody. */
export function writeHash(values) {
  const ours = Object.entries(values)
    .map(([key, value]) => `&${PREFIX}${key}=${encodeURIComponent(value)}`)
    .join('');
  fromParent((parent) => {
    const [tab, ...rest] = parent.location.hash.replace(/^#/, '').split('&');
    if (tab !== 'initkit') return;
    const others = rest.filter((part) => part && !part.startsWith(PREFIX));
    const hash = ['#initkit', ...others].join('&') + ours;
    if (hash !== parent.location.hash) parent.history.replaceState(parent.history.state, '', hash);
  });
}

/** Calls `onchange` when somebody edits the URL. */
export function followHash(onchange) {
  fromParent((parent) => parent.addEventListener('hashchange', onchange));
}

/** Runs `read(parent)` where there is a TensorBoard around and it lets us look. */
function fromParent(read, otherwise = () => undefined) {
  if (window.parent === window) return otherwise();
  try {
    return read(window.parent);
  } catch {
    return otherwise();
  }
}
