// What the tab knows of the TensorBoard around it.
//
// The four messages are TensorBoard's plugin interface. Theme, URL and run colours are
// not part of it and are read from the parent document, or left at a default.

const RUN_COLORS = [
  '#ff7043', '#0077bb', '#cc3311', '#33bbee', '#ee3377', '#009988', '#bbbbbb',
];
const PREFIX = 'p.initkit.';

// The window of TensorBoard, or our own where there is none or it may not be looked at.
const AROUND = (() => {
  try {
    return window.parent.document.body ? window.parent : window;
  } catch {
    return window;
  }
})();

/** The address of what is shown. */
export function address() {
  return AROUND.location.href;
}

/** Copies a text, or shows it to be copied where the browser does not let us. */
export function copy(text, about) {
  const ask = () => window.prompt(about, text);
  if (navigator.clipboard) navigator.clipboard.writeText(text).catch(ask);
  else ask();
}

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
export async function runColors(begun = fetch('../../runs')) {
  const response = await begun;
  const runs = response.ok ? await response.json() : [];
  return new Map(runs.map((run, i) => [run, RUN_COLORS[i % RUN_COLORS.length]]));
}

export function defaultColor(i) {
  return RUN_COLORS[i % RUN_COLORS.length];
}

/** Whether anybody can see the page: not behind another tab, nor another dashboard. */
export function isVisible() {
  // TensorBoard folds the frame of a dashboard that is not in front to no height.
  return document.visibilityState === 'visible' && innerWidth > 0 && innerHeight > 0;
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
  if (AROUND !== window) {
    const observer = new MutationObserver(apply);
    observer.observe(AROUND.document.body, { attributes: true, attributeFilter: ['class'] });
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply);
}

function isDark() {
  if (AROUND === window) return matchMedia('(prefers-color-scheme: dark)').matches;
  return AROUND.document.body.classList.contains('dark-mode');
}

/** The tab's part of the URL: `{key: text}`. */
export function readHash() {
  const found = {};
  for (const [key, value] of new URLSearchParams(AROUND.location.hash.replace(/^#/, ''))) {
    if (key.startsWith(PREFIX)) found[key.slice(PREFIX.length)] = value;
  }
  return found;
}

/** A text that URLs can hold: halves of UTF-16 pairs cannot stand alone in one. */
function wellFormed(value) {
  return String(value).replace(/\p{Surrogate}/gu, '\ufffd');
}

/** Puts the tab's state into the URL, so that it can be sent to somebody. */
export function writeHash(values) {
  const ours = Object.entries(values)
    .map(([key, value]) => `&${PREFIX}${key}=${encodeURIComponent(wellFormed(value))}`)
    .join('');
  const [tab, ...rest] = AROUND.location.hash.replace(/^#/, '').split('&');
  if (tab !== 'initkit' && AROUND !== window) return; // another tab is in front
  const others = rest.filter((part) => part && !part.startsWith(PREFIX));
  const hash = ['#initkit', ...others].join('&') + ours;
  if (hash !== AROUND.location.hash) {
    AROUND.history.replaceState(AROUND.history.state, '', hash);
  }
}

/** Calls `onchange` when somebody edits the URL. */
export function followHash(onchange) {
  AROUND.addEventListener('hashchange', onchange);
}
