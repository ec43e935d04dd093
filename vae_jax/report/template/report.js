"use strict";

// Sorts a table by the column of the heading that is pressed, best first where the
// heading says what is best; again, the other way. Of a long table a page is shown.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const size = body.rows.length;
  const pager = table.closest("section").querySelector(".pager");
  let items = pager ? stored(table, pager) : standing(body);
  let first = 0;

  const show = () => {
    body.replaceChildren(...items.slice(first, first + size).map((item) => item.row()));
    if (pager) {
      const last = Math.min(first + size, items.length);
      const count = items.length.toLocaleString("en");
      pager.querySelector("output").textContent = `${first + 1} to ${last} of ${count}`;
    }
  };

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const before = head.ariaSort;
      const largest = head.dataset.best === "largest";
      const descending = before ? before === "ascending" : largest;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      items = sorted(items, column, descending);
      first = 0;
      show();
    });
  });

  if (pager) {
    pager.hidden = false;
    pager.querySelectorAll("button").forEach((button) => {
      button.addEventListener("click", () => {
        const next = first + Number(button.dataset.step) * size;
        first = next < items.length ? Math.max(0, next) : first;
        show();
      });
    });
  }
}

// The rows that stand in a table.
function standing(body) {
  return [...body.rows].map((row) => ({
    values: [...row.cells].map((cell) => cell.dataset.value),
    row: () => row,
  }));
}

// The rows of a long table, made from their values when they are shown.
function stored(table, pager) {
  const blank = table.tBodies[0].rows[0];
  return JSON.parse(pager.querySelector("script").textContent).map((values) => ({
    values: values.map((value) => value ?? ""),
    row: () => {
      const row = blank.cloneNode(true);
      values.forEach((value, i) => {
        row.cells[i].textContent = text(value);
        row.cells[i].dataset.value = value ?? "";
      });
      return row;
    },
  }));
}

// A number as the page writes it: four digits, and all that stand before the point.
function text(value) {
  if (typeof value !== "number") return value ?? "–";
  const large = Number.isInteger(value) || Math.abs(value) >= 1e4;
  const short = large ? Math.round(value).toLocaleString("en") : few(value);
  return short.replaceAll("-", "−");
}

function few(value) {
  return String(Number(value.toPrecision(4)));
}

function sorted(items, column, descending) {
  const value = (item) => item.values[column];
  const isMissing = (item) => value(item) === "";
  const present = items.filter((item) => !isMissing(item));
  const isNumeric = present.every((item) => !Number.isNaN(Number(value(item))));
  const order = isNumeric
    ? (a, b) => Number(value(a)) - Number(value(b))
    : (a, b) => value(a).localeCompare(value(b), "en", { numeric: true });
  present.sort(descending ? (a, b) => order(b, a) : order);
  return [...present, ...items.filter(isMissing)]; // missing values last, either way
}

// Says what a mark or a heading means when it is pointed at, touched or reached by
// keyboard. Browsers show titles as well, but late, and not on a touch screen.
const tip = document.querySelector("#tip");
for (const title of document.querySelectorAll("svg .mark > title")) {
  title.parentElement.dataset.tip = title.textContent;
  title.remove();
}
for (const element of document.querySelectorAll("[title]")) {
  element.dataset.tip = element.title;
  element.setAttribute("aria-description", element.title);
  element.removeAttribute("title");
}

function showTip(event) {
  const told = event.target.closest("[data-tip]");
  tip.hidden = !told;
  if (!told) return;
  tip.textContent = told.dataset.tip;
  const box = told.getBoundingClientRect();
  const width = document.documentElement.clientWidth;
  const left = box.left + box.width / 2 - tip.offsetWidth / 2;
  tip.style.left = `${Math.max(8, Math.min(left, width - tip.offsetWidth - 8))}px`;
  const above = box.top - tip.offsetHeight - 8;
  tip.style.top = `${above > 0 ? above : box.bottom + 8}px`;
}

for (const kind of ["pointerover", "pointerdown", "focusin"]) {
  document.addEventListener(kind, showTip);
}
for (const kind of ["scroll", "focusout"]) {
  document.addEventListener(kind, () => (tip.hidden = true), true);
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hidden = true;
});

// Shows a picture as large as the screen allows.
const dialog = document.querySelector("dialog");
for (const button of document.querySelectorAll("main .zoom")) {
  button.addEventListener("click", () => {
    const { src, alt } = button.querySelector("img");
    Object.assign(dialog.querySelector("img"), { src, alt });
    dialog.showModal();
  });
}
dialog.addEventListener("click", () => dialog.close());
