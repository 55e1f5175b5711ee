// Grid: measure the header for the style sheet, and scroll focused cells out of sticky headers.
for (const { tHead, parentElement: pane } of document.querySelectorAll(".nst-grid")) {
  const measure = () => pane.style.setProperty("--nst-head", `${tHead.offsetHeight}px`);
  new ResizeObserver(measure).observe(tHead);
  pane.addEventListener("focusin", ({ target }) =>
    target.closest("td :focus-visible")?.scrollIntoView({ block: "nearest", inline: "nearest" }));
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
