// The page says everything without this: it only lets tables be sorted, and opens what is folded before printing.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    const told = cell.dataset.value;
    return told === undefined ? cell.textContent.trim() : told === "" ? -Infinity : Number(told);
  };
  const sort = (column) => {
    const head = heads[column];
    const descending = head.getAttribute("aria-sort") !== "descending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const one = value(a, column), other = value(b, column);
      const order = typeof one === "number" ? one - other : one.localeCompare(other);
      return descending ? -order : order;
    });
    table.tBodies[0].append(...rows);
  };
  heads.forEach((head, column) => {
    head.setAttribute("aria-sort", "none");
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(column));
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(column); }
    });
  });
}
const folded = () => [...document.querySelectorAll("details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => { opened = folded(); for (const one of opened) one.open = true; });
addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
