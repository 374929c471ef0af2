"use strict";

// Null last, numbers before texts, texts as people sort them.
const collator = new Intl.Collator("en", { numeric: true });

function valueOf(row, place) {
  const cell = row.cells[place];
  const number = "number" in cell.dataset ? Number(cell.dataset.number.replace("inf", "Infinity")) : NaN;
  return { isNull: "null" in cell.dataset, number, text: cell.textContent };
}

function compare(a, b, sign) {
  if (a.isNull !== b.isNull) return a.isNull ? 1 : -1;
  const numbers = [Number.isNaN(a.number), Number.isNaN(b.number)];
  if (numbers[0] !== numbers[1]) return numbers[0] ? 1 : -1;
  if (!numbers[0] && a.number !== b.number) return sign * (a.number < b.number ? -1 : 1);
  return sign * collator.compare(a.text, b.text);
}

function sort(table, header) {
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [valueOf(row, header.cellIndex), row]);
  rows.sort((a, b) => compare(a[0], b[0], ascending ? 1 : -1));
  body.append(...rows.map((pair) => pair[1]));
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sort(table, button.closest("th")));
  }
}

const filter = document.querySelector("form.filter");
if (filter) {
  const [column, words, said] = filter.querySelectorAll("select, input, output");
  const rows = Array.from(document.querySelectorAll("table.cells tbody tr"), (row) => [row, row.textContent.toLowerCase()]);
  const apply = () => {
    const wanted = words.value.toLowerCase();
    let left = 0;
    for (const [row, text] of rows) {
      row.hidden = (column.value !== "" && row.dataset.column !== column.value) || !text.includes(wanted);
      left += !row.hidden;
    }
    said.value = left === rows.length ? "" : `${left.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  filter.hidden = false;
}

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
