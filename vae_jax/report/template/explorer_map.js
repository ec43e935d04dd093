"use strict";

// What of the map does not depend on where the point is.

function drawMap(run) {
  drawGrid(run);
  const [horizontal] = run.axes;
  const unit = SIDE / (horizontal.high - horizontal.low);
  at("prior").replaceChildren();
  if (run.hasStandardPrior) {
    for (const radius of [1, 2]) {
      const circle = { cx: across([0, 0]), cy: upward([0, 0]), r: radius * unit };
      element("circle", circle, at("prior"));
    }
  } else {
    for (const z of run.draws) {
      element("path", { d: `M${across(z) - 6} ${upward(z)}h12m-6 -6v12` }, at("prior"));
    }
  }
  at("codes").replaceChildren();
  const radius = Math.max(4, Math.min(11, 200 / Math.sqrt(run.means.length)));
  run.means.forEach((z, n) => {
    const dot = element("circle", { cx: across(z), cy: upward(z), r: radius }, at("codes"));
    const ofClass = heldout.labels[n];
    if (ofClass >= 0) dot.style.fill = heldout.classes[ofClass].color;
    dot.classList.toggle("faint", state.shownClass !== null && ofClass !== state.shownClass);
  });
}

// The words around it.
function describe(run) {
  at("across").textContent = `→ ${run.axes[0].name}${inNats(run.axes[0])}`;
  at("upward").textContent = run.axes[1].name && `↑ ${run.axes[1].name}${inNats(run.axes[1])}`;
  const others = run.others
    ? ` The other ${run.others} dimensions stay at the mean of the codes.` : "";
  at("prior-words").textContent = (run.hasStandardPrior
    ? "Dashed: 1 and 2 standard deviations of N(0, I), which new codes are drawn from."
    : "Small crosses: draws from the prior of this model.") + others;
  at("numbers").replaceChildren(...run.numbers.map(([title, text]) => html("div", {},
    html("dt", { textContent: title }), html("dd", { textContent: text }))));
}

const inNats = (axis) => (axis.rate === null ? "" : `, ${written(axis.rate)} nats`);

function drawGrid(run) {
  at("grid").replaceChildren();
  const [horizontal, vertical] = run.axes;
  const width = horizontal.high - horizontal.low;
  const powers = [1, 2, 5].map((digit) => digit * 10 ** Math.floor(Math.log10(width / MOST_TICKS)));
  const step = powers.find((size) => width / size <= MOST_TICKS) ?? 10 * powers[0];
  const ticks = (axis) => {
    const first = Math.ceil(axis.low / step);
    const last = Math.floor(axis.high / step);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
  };
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const text = (tick) => tick.toFixed(digits).replace("-", "−");
  for (const tick of ticks(horizontal)) {
    const x = SIDE * share(horizontal, tick);
    element("line", { x1: x, x2: x, y1: 0, y2: SIDE }, at("grid"));
    element("text", { x: x + 6, y: SIDE - 10 }, at("grid")).textContent = text(tick);
  }
  for (const tick of vertical.name ? ticks(vertical) : []) {
    const y = SIDE * (1 - share(vertical, tick));
    element("line", { x1: 0, x2: SIDE, y1: y, y2: y }, at("grid"));
    element("text", { x: 8, y: y - 8 }, at("grid")).textContent = text(tick);
  }
}

function showClass(number) {
  state.shownClass = state.shownClass === number ? null : number;
  [...at("legend").children].forEach((button, i) => {
    button.setAttribute("aria-pressed", i === state.shownClass);
  });
  [...at("codes").children].forEach((dot, n) => {
    const isOther = state.shownClass !== null && heldout.labels[n] !== state.shownClass;
    dot.classList.toggle("faint", isOther);
  });
}
