'use strict';
const meta = JSON.parse(document.getElementById('meta').textContent);
const at = id => document.getElementById(id);
const PER_PAGE = 48, chunks = new Map();
let state = {sort: 'name', class: '', stage: '', min: 0, max: 1, find: '', page: 0, on: 0, open: false}, shown = [], masks = true;

function thumb(k) {  // images of a chunk are unpacked when one of them is first seen
  const c = Math.floor(k / meta.chunk);
  if (!chunks.has(c)) {
    if (chunks.size > 4) chunks.delete(chunks.keys().next().value);
    chunks.set(c, JSON.parse(at('c' + c).textContent));
  }
  return 'data:image/webp;base64,' + chunks.get(c)[k % meta.chunk];
}
const fits = i => (state.class === '' || i.c === +state.class) && i.w >= state.min && i.w <= state.max;
const chosen = image => image.i.filter(i => (state.stage === '' || i.s === +state.stage) && fits(i));
// Without a choice of stage the overview shows, sorts and filters by the last one; an opened image shows all.
const drawn = image => chosen(image).filter(i => state.stage !== '' || i.s === meta.stages.length - 1);
const lowest = (list, key) => list.length ? Math.min(...list.map(key)) : Infinity;
const orders = {
  name: {text: 'name', key: (image, k) => k},
  weight: {text: 'lowest weight', key: image => lowest(drawn(image), i => i.w)},
  disagreement: {text: 'most disagreement', key: image => -image.d, has: meta.stages.length > 1},
  iou: {text: 'worst IoU', key: image => lowest(drawn(image).filter(i => i.o !== undefined), i => i.o), has: meta.truth},
  most: {text: 'most instances', key: image => -drawn(image).length},
};
function select() {
  const wanted = state.find.toLowerCase(), filtered = state.class !== '' || state.min > 0 || state.max < 1;
  shown = meta.images.map((image, k) => k).filter(k => meta.images[k].n.toLowerCase().includes(wanted)
    && (!filtered || drawn(meta.images[k]).length));
  const key = new Map(shown.map(k => [k, orders[state.sort].key(meta.images[k], k)]));
  shown.sort((a, b) => key.get(a) === key.get(b) ? a - b : key.get(a) - key.get(b));
}
function svg(image, list) {
  const ns = 'http://www.w3.org/2000/svg', root = document.createElementNS(ns, 'svg');
  const add = (name, attributes) => { const e = document.createElementNS(ns, name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value); root.append(e); return e; };
  root.setAttribute('viewBox', `0 0 ${image.w} ${image.h}`);
  for (const i of list) {
    const colour = meta.colours[i.c];
    if (masks && i.p) add('path', {d: i.p, fill: colour, stroke: colour, 'fill-rule': 'evenodd'});
    add('rect', {x: i.b[0], y: i.b[1], width: i.b[2], height: i.b[3], stroke: colour});
  }
  for (const i of list) if (i.b[2]) add('text', {x: Math.max(2, i.b[0] + 3), y: Math.max(11, i.b[1] + 12)}).textContent =
    meta.classes[i.c] + (i.w === undefined ? '' : ' ' + i.w.toFixed(2));
  return root;
}
function figure(k, list, title, note) {
  const image = meta.images[k], f = document.createElement('figure'), pic = document.createElement('div'), img = document.createElement('img');
  pic.className = 'pic'; img.loading = 'lazy'; img.width = image.w; img.height = image.h; img.alt = image.n; img.src = thumb(k);
  pic.append(img, svg(image, list));
  const caption = document.createElement('figcaption'), small = document.createElement('small');
  caption.textContent = title; small.textContent = note; caption.append(small); f.append(pic, caption);
  return f;
}
function note(image, list) {
  const parts = [`${list.length} ${list.length === 1 ? 'instance' : 'instances'}`];
  if (meta.stages.length > 1) parts.push(`disagreement ${image.d.toFixed(2)}`);
  const overlaps = list.filter(i => i.o !== undefined);
  if (overlaps.length) parts.push(`worst IoU ${lowest(overlaps, i => i.o).toFixed(2)}`);
  return parts.join(' · ');
}
function draw() {
  const pages = Math.max(1, Math.ceil(shown.length / PER_PAGE));
  state.page = Math.min(Math.max(0, state.page), pages - 1);
  const here = shown.slice(state.page * PER_PAGE, (state.page + 1) * PER_PAGE);
  state.on = Math.min(Math.max(0, state.on), Math.max(0, here.length - 1));
  at('count').textContent = `${shown.length} of ${meta.images.length} images`;
  at('page').textContent = `page ${state.page + 1} of ${pages}`;
  at('grid').replaceChildren(...here.map((k, place) => {
    const image = meta.images[k], list = drawn(image), f = figure(k, list, image.n, note(image, list));
    f.dataset.name = image.n;
    f.onclick = () => { state.on = place; state.open = true; show(); };
    return f;
  }));
  show();
}
function show() {
  const cells = [...at('grid').children], k = shown[state.page * PER_PAGE + state.on];
  cells.forEach((cell, place) => cell.classList.toggle('on', place === state.on));
  if (cells[state.on] && !state.open) cells[state.on].scrollIntoView({block: 'nearest'});
  at('one').hidden = !state.open || k === undefined;
  if (!at('one').hidden) large(k);
  remember();
}
function large(k) {
  const image = meta.images[k], top = document.createElement('div'), h2 = document.createElement('h2'), close = document.createElement('button');
  top.className = 'top'; h2.textContent = image.n + (image.t.length ? '  ·  tags: ' + image.t.map(c => meta.classes[c]).join(', ') : '');
  close.textContent = 'close (Esc)'; close.onclick = () => { state.open = false; show(); };
  const walk = document.createElement('span'); walk.className = 'pages';
  for (const [text, step, name] of [['‹', -1, 'previous image'], ['›', 1, 'next image']]) {
    const button = document.createElement('button');
    button.textContent = text; button.ariaLabel = name; button.onclick = () => move(step); walk.append(button, ' ');
  }
  walk.append(close); top.append(h2, walk);
  const row = document.createElement('div'); row.className = 'stages';
  meta.stages.forEach((stage, s) => {
    const list = image.i.filter(i => i.s === s && fits(i));
    const detail = list.map(i => `${meta.classes[i.c]} ${i.w.toFixed(2)}` + (i.o === undefined ? '' : ` (IoU ${i.o.toFixed(2)})`)).join(', ');
    row.append(figure(k, list, `labels of ${stage}`, detail || 'none'));
  });
  if (image.g) row.append(figure(k, image.g, 'ground truth', 'never seen by training'));
  at('one').replaceChildren(top, row);
}
function remember() {
  const kept = Object.entries(state).filter(([key, value]) => !['on'].includes(key) && value !== '' && value !== 0 && value !== false && !(key === 'max' && value === 1));
  const k = shown[state.page * PER_PAGE + state.on];
  const words = kept.filter(([key]) => key !== 'open').map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  if (state.open && k !== undefined) words.push('open=' + encodeURIComponent(meta.images[k].n));
  history.replaceState(null, '', '#' + words.join('&'));
}
function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of ['sort', 'class', 'stage', 'find']) if (given.has(key)) state[key] = given.get(key);
  for (const key of ['min', 'max', 'page']) if (given.has(key) && isFinite(+given.get(key))) state[key] = +given.get(key);
  if (!(state.sort in orders)) state.sort = 'name';
  for (const key of ['sort', 'class', 'stage', 'min', 'max', 'find']) at(key).value = state[key];
  select();
  const place = given.has('open') ? shown.findIndex(k => meta.images[k].n === given.get('open')) : -1;
  if (place >= 0) { state.page = Math.floor(place / PER_PAGE); state.on = place % PER_PAGE; state.open = true; }
}
function options(id, list) { at(id).replaceChildren(...list.map(([value, text]) => new Option(text, value))); }
options('sort', Object.entries(orders).filter(([, order]) => order.has !== false).map(([key, order]) => [key, order.text]));
options('class', [['', 'all'], ...meta.classes.map((name, c) => [c, name])]);
options('stage', [['', 'last'], ...meta.stages.map((name, s) => [s, name])]);
at('bar').onsubmit = event => event.preventDefault();
for (const key of ['sort', 'class', 'stage', 'min', 'max', 'find']) at(key).oninput = at(key).onchange = () => {
  const value = at(key).value;
  state[key] = ['min', 'max'].includes(key) ? (value === '' ? +(key === 'max') : +value) : value;
  state.page = state.on = 0; select(); draw();
};
const turn = step => { const before = state.page; state.page += step; state.on = 0; draw(); if (state.page !== before) scrollTo(0, 0); };
at('back').onclick = () => turn(-1);
at('next').onclick = () => turn(1);
function move(step) {
  const place = state.page * PER_PAGE + state.on + step;
  if (place < 0 || place >= shown.length) return;
  const page = Math.floor(place / PER_PAGE), turned = page !== state.page;
  state.page = page; state.on = place % PER_PAGE;
  turned ? draw() : show();
}
function cycle(id) { const s = at(id); s.selectedIndex = (s.selectedIndex + 1) % s.options.length; s.oninput(); }
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || (event.target.matches && event.target.matches('input,select') && event.key !== 'Escape')) return;
  const cells = at('grid').children, columns = cells.length ? [...cells].filter(cell => cell.offsetTop === cells[0].offsetTop).length : 1;
  const keys = {ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => move(state.open ? 1 : columns), ArrowUp: () => move(state.open ? -1 : -columns),
    Enter: () => { state.open = true; show(); }, Escape: () => { document.activeElement.blur(); state.open = false; show(); },
    n: () => turn(1), p: () => turn(-1), PageDown: () => turn(1), PageUp: () => turn(-1), s: () => cycle('sort'), c: () => cycle('class'),
    t: () => cycle('stage'), m: () => { masks = !masks; draw(); }};
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
recall(); draw();
document.documentElement.dataset.ready = 'yes';
