// Entry point: asks for all modules and for the first replies at once, as browsers find
// out only one behind the other what modules need.

const MODULES = [
  'api.js',
  'app.js',
  'charts/behind.js',
  'charts/canvas.js',
  'charts/colors.js',
  'charts/heatmap.js',
  'charts/lines.js',
  'charts/scale.js',
  'charts/tooltip.js',
  'difference.js',
  'dom.js',
  'export.js',
  'format.js',
  'host.js',
  'model.js',
  'rules.js',
  'state.js',
  'views/card.js',
  'views/common.js',
  'views/compare.js',
  'views/difference.js',
  'views/findings.js',
  'views/heat.js',
  'views/profile.js',
  'views/sidebar.js',
  'views/stepbar.js',
  'views/time.js',
];

function link(properties) {
  const element = Object.assign(document.createElement('link'), properties);
  document.head.append(element);
  return element;
}

function begin(url) {
  const reply = fetch(url);
  reply.catch(() => {}); // told where it is awaited
  return reply;
}

/** Called by TensorBoard's plugin frame. */
export async function render() {
  document.title = 'InitKit';
  document.documentElement.lang = 'en';
  const begun = { index: begin('./index'), runs: begin('../../runs') };
  const style = link({ rel: 'stylesheet', href: './static/style.css' });
  const styled = new Promise((resolve) => {
    style.addEventListener('load', resolve);
    style.addEventListener('error', resolve);
  });
  for (const name of MODULES) link({ rel: 'modulepreload', href: `./static/${name}` });
  const { start } = await import('./app.js');
  await styled;
  await start(begun);
}
