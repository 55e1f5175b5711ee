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
  // A link to a cell, from the list of failures for one, brings its seed back.
  window.addEventListener("hashchange", () => {
    const cell = document.getElementById(location.hash.slice(1));
    if (!cell?.hidden) return;
    select.value = "";
    choose();
    cell.scrollIntoView();
  });
  select.closest(".nst-toolbar").hidden = false;
}
