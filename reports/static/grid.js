// Seed selection of the grid: show one seed or all.
for (const select of document.querySelectorAll(".nst-seeds")) {
  const cells = select.closest("section").querySelectorAll("figure[data-seed]");
  const choose = () => {
    for (const cell of cells) {
      // Boxes without the selected seed, such as those of anchors, keep their cells.
      const chosen = cell.parentElement.querySelector(`[data-seed="${select.value}"]`);
      cell.hidden = chosen !== null && cell.dataset.seed !== select.value;
    }
  };
  select.onchange = choose;
  select.closest(".nst-toolbar").hidden = false;
}
