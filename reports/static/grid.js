// The grid's seeds: one at a time, or all of them one below the other.
for (const select of document.querySelectorAll(".nst-seeds")) {
  const cells = select.closest("section").querySelectorAll("figure[data-seed]");
  const choose = () => {
    for (const cell of cells) {
      // What ran with other seeds alone, as anchors do, keeps its place.
      const chosen = cell.parentElement.querySelector(`[data-seed="${select.value}"]`);
      cell.hidden = chosen !== null && cell.dataset.seed !== select.value;
    }
  };
  select.onchange = choose;
  select.closest(".nst-toolbar").hidden = false;
}
