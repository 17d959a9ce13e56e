"""What the page of runs does: sort, filter, open a run."""

from __future__ import annotations

SCRIPT = """
"use strict";
const table = document.querySelector("table");
const form = document.querySelector("form");
const search = form.querySelector("input[type=search]");
const bodies = () => [...table.tBodies];
const value = (body, column) => {
  const cell = body.rows[0].cells[column];
  return cell.dataset.value ?? cell.textContent.trim();
};

// Numbers by size, texts with numbers in them in natural order; what is missing comes last.
const compare = (a, b) => {
  const both = [a, b].map(text => text !== "" && !isNaN(text));
  if (both[0] && both[1]) return a - b;
  return a.localeCompare(b, "en", {numeric: true});
};
const missing = text => text === "" || text === "-";
table.tHead.addEventListener("click", event => {
  const head = event.target.closest("th[aria-sort]");
  if (!head) return;
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells)
    if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const column = head.cellIndex;
  const sorted = bodies().map(body => [value(body, column), body]).sort(([a], [b]) =>
    missing(a) - missing(b) || (down ? -compare(a, b) : compare(a, b)));
  table.append(...sorted.map(([, body]) => body));
});

// Every word must occur; "temperature=0.1" only as a whole word, since 0.15 begins with it too.
const filter = () => {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const states = new Set([...form.querySelectorAll(":checked")].map(box => box.value));
  let shown = 0;
  for (const body of bodies()) {
    const all = body.dataset.words.toLowerCase();
    const set = new Set(all.split(" "));
    const fits = word => /=./.test(word) ? set.has(word) : all.includes(word);
    body.hidden = !(states.has(body.dataset.state) && words.every(fits));
    shown += !body.hidden;
  }
  form.querySelector("output").value = `${shown} of ${bodies().length} shown`;
};
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
filter();

table.addEventListener("click", event => {
  const row = event.target.closest("tbody > tr:not(.more)");
  if (!row || getSelection().toString()) return;
  const more = row.nextElementSibling, large = more.querySelector(".large");
  const picture = row.querySelector(".views img");
  if (picture && !large.firstChild) large.append(picture.cloneNode());
  more.hidden = !more.hidden;
  row.querySelector("button").setAttribute("aria-expanded", String(!more.hidden));
});
"""
