// Grid: measure the header, which covers the top of the rows, for the style sheet.
for (const { style, tHead } of document.querySelectorAll(".nst-grid")) {
  const measure = () => style.setProperty("--nst-head", `${tHead.offsetHeight}px`);
  new ResizeObserver(measure).observe(tHead);
}
// Seed selection: show one seed or all.
for (const select of document.querySelectorAll(".nst-seeds")) {
  const cells = select.closest("section").querySelectorAll("figure[data-seed]");
  select.onchange = () => {
    for (const cell of cells) {
      // Boxes without the selected seed, such as those of anchors, keep their cells.
      const chosen = cell.parentElement.querySelector(`[data-seed="${select.value}"]`);
      cell.hidden = chosen !== null && cell.dataset.seed !== select.value;
    }
  };
  select.closest(".nst-toolbar").hidden = false;
}
