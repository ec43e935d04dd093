"use strict";

// Sorts a table by the column of the heading that is pressed; again, the other way.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const descending = head.ariaSort === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = table.tBodies[0];
      body.append(...sorted([...body.rows], column, descending));
    });
  });
}

function sorted(rows, column, descending) {
  const value = (row) => row.cells[column].dataset.value;
  const isMissing = (row) => value(row) === "";
  const present = rows.filter((row) => !isMissing(row));
  const isNumeric = present.every((row) => !Number.isNaN(Number(value(row))));
  const order = isNumeric
    ? (a, b) => Number(value(a)) - Number(value(b))
    : (a, b) => value(a).localeCompare(value(b), "en", { numeric: true });
  present.sort(descending ? (a, b) => order(b, a) : order);
  return [...present, ...rows.filter(isMissing)]; // missing values last, either way
}

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
