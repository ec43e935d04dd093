"use strict";

const { heldout, runs } = JSON.parse(document.getElementById("content").textContent);
const SIDE = 1000; // of the map, in its own units
const STEP = 0.01; // of a key, as a share of an axis; ten times that with Shift
const MOST_TICKS = 5;
const state = { run: null, label: 0, z: [], nearest: 0, shownClass: null, drawn: 0 };
const at = (id) => document.getElementById(id);

function element(name, attributes = {}, parent = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

function html(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const written = (value) => value.toFixed(2).replace("-", "−");

// Where a value of an axis lies on the map, and back.
const share = (axis, value) => (value - axis.low) / (axis.high - axis.low);
const value = (axis, part) => axis.low + part * (axis.high - axis.low);
const across = (z) => SIDE * share(state.run.axes[0], z[0]);
const upward = (z) => SIDE * (1 - share(state.run.axes[1], z[1]));

// Images -----------------------------------------------------------------------------

async function load(atlas) {
  if (!atlas.image) {
    const image = new Image();
    image.src = atlas.uri;
    await image.decode();
    atlas.image = image;
  }
}

// Draws image `index` of an atlas over what a canvas shows, so far as `opacity` says.
function paint(canvas, atlas, index, opacity = 1) {
  const [width, height] = atlas.size;
  if (canvas.width !== width || canvas.height !== height) {
    Object.assign(canvas, { width, height });
  }
  const context = canvas.getContext("2d");
  context.globalAlpha = opacity;
  const left = (index % atlas.columns) * atlas.cell[0];
  const top = Math.floor(index / atlas.columns) * atlas.cell[1];
  context.drawImage(atlas.image, left, top, width, height, 0, 0, width, height);
}

// The nodes of the lattice around a point, each with its share of the image there.
function corners(run, z, label) {
  let found = [{ index: label, weight: 1 }];
  run.axes.forEach((axis, k) => {
    const { values } = axis;
    const last = values.findIndex((value) => value >= z[k]);
    const first = Math.max(0, (last < 0 ? values.length : last) - 1);
    const next = Math.min(first + 1, values.length - 1);
    const part = Math.min(1, Math.max(0, (z[k] - values[first]) / (values[next] - values[first])));
    found = found.flatMap(({ index, weight }) =>
      [[first, 1 - part], [next, part]].map(([node, own]) => (
        { index: index * values.length + node, weight: weight * own })));
    found = found.filter(({ weight }) => weight > 1e-6);
  });
  return found;
}

// A mixture, one image over the other: each takes its share of all that lie below it.
function decode(run, z, label) {
  let below = 0;
  for (const { index, weight } of corners(run, z, label)) {
    below += weight;
    paint(at("here"), run.lattice, index, weight / below);
  }
}

// Where the codes are ----------------------------------------------------------------

const sum = (z, term) => z.reduce((total, value, k) => total + term(value, k), 0);

// Of a conditional model, among the images of the label that is decoded for.
function nearest(run, z, label) {
  const isMeant = run.given.includes(label) ? (n) => run.given[n] === label : () => true;
  const all = run.means.map((mean, n) => (
    isMeant(n) ? run.apart[n] + sum(z, (value, k) => (value - mean[k]) ** 2) : Infinity));
  return all.indexOf(Math.min(...all));
}

function isInHole(run, z) {
  return run.means.every((mean, n) => (
    run.beyond[n] + sum(z, (value, k) => (value - mean[k]) ** 2 / run.variances[n][k])
    > run.reach));
}

const nameOf = (n) => heldout.classes[heldout.labels[n]]?.name;

// What is shown ----------------------------------------------------------------------

function show() {
  const { run, z, label } = state;
  const n = nearest(run, z, label);
  state.nearest = n;
  decode(run, z, label);
  paint(at("nearest"), heldout.images, n);
  paint(at("own"), run.decoded, n);

  at("point").setAttribute("transform", `translate(${across(z)} ${upward(z)})`);
  const dot = run.means[n];
  const end = { x1: across(z), y1: upward(z), x2: across(dot), y2: upward(dot) };
  for (const [key, number] of Object.entries(end)) at("link").setAttribute(key, number);
  at("found").setAttribute("cx", end.x2);
  at("found").setAttribute("cy", end.y2);

  const name = nameOf(n);
  at("label").textContent = name === undefined ? "" : `, label ${name}`;
  const place = run.axes.map((axis, k) => `${axis.name} = ${written(z[k])}`).join(", ");
  at("map").setAttribute("aria-label", `Map of codes; the point is at ${place}`);
  at("here").setAttribute("aria-label", `Image decoded at ${place}`);
  at("nearest").setAttribute("aria-label", `Held-out image ${n}${at("label").textContent}`);
  at("own").setAttribute("aria-label", "The same image, decoded from its own code");

  const isHole = isInHole(run, z);
  const words = isHole
    ? ["A hole.", " No held-out image has its code near here, so the decoder has hardly been trained for it."]
    : ["Among the codes.", " Held-out images have their codes around here."];
  const text = words.join("");
  if (at("verdict").textContent !== text) {
    at("verdict").replaceChildren(html("strong", { textContent: words[0] }), words[1]);
    at("verdict").classList.toggle("hole", isHole);
  }
  for (const input of document.querySelectorAll("#sliders input")) {
    const k = Number(input.dataset.axis);
    input.value = share(run.axes[k], z[k]);
    input.setAttribute("aria-valuetext", written(z[k]));
    input.nextElementSibling.textContent = written(z[k]);
  }
}

function move(z) {
  state.z = state.run.axes.map((axis, k) => Math.max(axis.low, Math.min(axis.high, z[k])));
  show();
}

function moveToImage(n) {
  const own = state.run.given[n] ?? -1;
  if (own >= 0) {
    state.label = own;
    at("labels").querySelectorAll("input")[own].checked = true;
  }
  move(state.run.means[n]);
}

function makeSliders(run) {
  at("sliders").replaceChildren(...run.axes.flatMap((axis, k) => {
    if (!axis.name) return []; // a code of one dimension has no second
    const input = html("input", { type: "range", min: 0, max: 1, step: "any" });
    input.dataset.axis = k;
    input.addEventListener("input", () => {
      const z = [...state.z];
      z[k] = value(axis, Number(input.value));
      move(z);
    });
    const name = html("span", { textContent: axis.name });
    if (axis.rate !== null) name.append(html("small", { textContent: `${written(axis.rate)} nats` }));
    return [html("label", {}, name, input, html("span"))];
  }));
}

function makeChoices(id, names, chosen, choose) {
  const field = at(id);
  field.hidden = names.length < 2;
  field.replaceChildren(field.querySelector("legend"), ...names.map((name, i) => {
    const input = html("input", { type: "radio", name: id, value: i, checked: i === chosen });
    input.addEventListener("change", () => choose(i));
    return html("label", {}, input, name);
  }));
}

// The point goes along with the image that was nearest: its code in the other run.
async function chooseRun(i) {
  const run = runs[i];
  await Promise.all([load(run.lattice), load(run.decoded)]);
  state.run = run;
  state.label = Math.min(state.label, Math.max(0, run.labels.length - 1));
  makeChoices("labels", run.labels, state.label, (label) => {
    state.label = label;
    show();
  });
  makeSliders(run);
  drawMap(run);
  describe(run);
  moveToImage(state.nearest);
}

// The reader ------------------------------------------------------------------------

function follow(event) {
  const box = at("map").getBoundingClientRect();
  const [horizontal, vertical] = state.run.axes;
  const z = [...state.z];
  z[0] = value(horizontal, (event.clientX - box.left) / box.width);
  z[1] = value(vertical, 1 - (event.clientY - box.top) / box.height);
  move(z);
}

at("map").addEventListener("pointerdown", (event) => {
  at("map").setPointerCapture(event.pointerId);
  follow(event);
});
at("map").addEventListener("pointermove", (event) => {
  if (at("map").hasPointerCapture(event.pointerId)) follow(event);
});

const KEYS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1] };
at("map").addEventListener("keydown", (event) => {
  if (!(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault(); // the page does not scroll
  const [k, sign] = KEYS[event.key];
  const axis = state.run.axes[k];
  const z = [...state.z];
  z[k] += sign * STEP * (event.shiftKey ? 10 : 1) * (axis.high - axis.low);
  move(z);
});

at("image").addEventListener("click", () => {
  moveToImage((state.nearest + 1) % state.run.means.length);
});
at("draw").addEventListener("click", () => {
  state.drawn = (state.drawn + 1) % state.run.draws.length;
  move(state.run.draws[state.drawn]);
});

async function start() {
  at("legend").hidden = !heldout.classes.length || !heldout.listed;
  at("legend").replaceChildren(...heldout.classes.map((one, i) => {
    const swatch = element("svg", { viewBox: "0 0 10 10", "aria-hidden": true });
    element("circle", { cx: 5, cy: 5, r: 5 }, swatch).style.fill = one.color;
    const button = html("button", { type: "button" }, swatch, one.name);
    button.setAttribute("aria-pressed", false);
    button.addEventListener("click", () => showClass(i));
    return button;
  }));
  makeChoices("runs", runs.map((run) => run.name), 0, chooseRun);
  await load(heldout.images);
  document.querySelector("main").hidden = false;
  await chooseRun(0);
  document.documentElement.dataset.ready = ""; // for those that drive the page
}

start();
