// Tools of the leaderboard: sort, filter, differences to a baseline, CSV export.
for (const board of document.querySelectorAll(".nst-leaderboard")) {
  const [tools, table] = [board.querySelector(".nst-toolbar"), board.querySelector("table")];
  const filter = tools.querySelector("[type=search]");
  const heads = [...table.tHead.rows[0].cells];
  const scores = heads.slice(1, -1);
  const rows = [...table.querySelectorAll("tr[data-variant]")]; // in plan order
  let baseline = null;

  const make = (tag, facts) => Object.assign(document.createElement(tag), facts);
  const cellOf = (row, head) => row.cells[head.cellIndex];
  const value = (row, head) => Number(cellOf(row, head).dataset.rank);

  // 1. Sort: best first, then reversed, then plan order. Anchors stay in their own table body.
  //    Rows without a comparable value come last.
  const compareBy = (head, sign) => (a, b) => {
    if (!head.dataset.column) return sign * a.dataset.variant.localeCompare(b.dataset.variant);
    const [x, y] = [value(a, head), value(b, head)];
    return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : sign * (x - y);
  };
  const sort = (head) => {
    const orders = ["ascending", "descending"];
    if (["higher", "neither"].includes(head.dataset.better)) orders.reverse();
    const order = orders[orders.indexOf(head.getAttribute("aria-sort")) + 1];
    for (const other of heads) other.removeAttribute("aria-sort");
    if (order) head.setAttribute("aria-sort", order);
    const ordered = order ? [...rows].sort(compareBy(head, order === "ascending" ? 1 : -1)) : rows;
    for (const row of ordered) row.parentElement.append(row);
  };

  // 2. Filter: hide rows whose name lacks any of the words, but never the baseline.
  const applyFilter = () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const name = row.dataset.variant.toLowerCase();
      row.hidden = row !== baseline && !words.every((word) => name.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    tools.querySelector("output").value = shown < rows.length ? `${shown} of ${rows.length}` : "";
  };
  tools.querySelector("details").onchange = ({ target: { value, checked } }) => {
    const cells = table.querySelectorAll(`[data-column="${CSS.escape(value)}"]`);
    for (const cell of cells) cell.hidden = !checked;
  };

  // 3. Differences to a baseline, with the decimals of the larger mean; null if not comparable.
  const subtract = (row, head) => {
    const [own, other] = [row, baseline].map((one) => cellOf(one, head).dataset);
    return own.group && own.group === other.group ? own.value - other.value : null;
  };
  const signed = (number, scale) => {
    const power = Math.floor(Math.log10(scale || 1));
    const plain = -4 <= power && power < 5;
    const size = Math.abs(number);
    const text = plain ? size.toFixed(Math.max(0, 2 - power)) : size.toExponential(1);
    return (Number(text) === 0 ? "±" : number < 0 ? "−" : "+") + text;
  };
  const difference = (row, head) => {
    const [own, other] = [value(row, head), value(baseline, head)];
    const number = subtract(row, head);
    if (number === null) return isNaN(own - other) ? "" : "different pairs";
    const rough = [row, baseline].some((one) => "approximate" in cellOf(one, head).dataset);
    const text = signed(number, Math.max(Math.abs(own), Math.abs(other)));
    return `${rough ? "≈ " : ""}${text} ${head.dataset.unit}`.trim();
  };
  const pin = (row) => {
    baseline = row === baseline ? null : row;
    for (const old of table.querySelectorAll(".nst-difference")) old.remove();
    for (const one of rows) {
      one.classList.toggle("nst-pinned", one === baseline);
      one.querySelector(".nst-pin").setAttribute("aria-pressed", one === baseline);
      for (const head of baseline && one !== baseline ? scores : []) {
        const title = `difference from ${baseline.dataset.variant}`;
        const facts = { className: "nst-difference", textContent: difference(one, head), title };
        if (facts.textContent) cellOf(one, head).append(" ", make("small", facts));
      }
    }
    applyFilter();
  };

  // 4. CSV of the visible table. Sandboxed frames cannot save files, so show the text to copy.
  const quoted = (text) => `"${text.replace(/^[=+@\t\r-]/, "'$&").replaceAll('"', '""')}"`;
  const commaSeparated = () => {
    const shown = scores.filter((head) => !head.hidden);
    const kinds = ["", "_sd", "_n", ...(baseline ? ["_difference"] : [])];
    const names = shown.flatMap((head) => kinds.map((kind) => head.dataset.column + kind));
    const numbers = (row, head) => {
      const { value = "", sd = "", n = "" } = cellOf(row, head).dataset;
      return [value, sd, n, ...(baseline ? [subtract(row, head)] : [])];
    };
    const lines = [...table.querySelectorAll("tr[data-variant]:not([hidden])")].map((row) => [
      quoted(row.dataset.variant),
      ...shown.flatMap((head) => numbers(row, head)),
    ]);
    return [["variant", ...names], ...lines].map((line) => line.join(",") + "\n").join("");
  };
  const save = () => {
    const copy = tools.querySelector("textarea");
    copy.value = commaSeparated();
    copy.hidden = window.parent === window;
    if (!copy.hidden) return copy.select();
    const href = URL.createObjectURL(new Blob([copy.value], { type: "text/csv" }));
    make("a", { href, download: "leaderboard.csv" }).click();
  };

  const button = (cell, name, act) => {
    const made = make("button", { type: "button", className: name, onclick: () => act() });
    cell.append(" ", made);
    return made;
  };
  for (const head of heads) {
    const words = [...head.childNodes];
    button(head, "nst-sort", () => sort(head)).append(...words);
  }
  for (const row of rows) {
    const facts = { textContent: "baseline", ariaPressed: "false" };
    Object.assign(button(row.cells[0], "nst-pin", () => pin(row)), facts);
  }
  filter.oninput = applyFilter;
  tools.querySelector(".nst-save").onclick = save;
  tools.hidden = false;
}
