// Trade-off: axis selection, and a card for the variant that is hovered or focused.
for (const board of document.querySelectorAll(".nst-tradeoff")) {
  const plots = [...board.querySelector("template").content.children];
  for (const slot of board.querySelectorAll(".nst-slot")) {
    const [controls, card] = [slot.querySelector(".nst-toolbar"), slot.querySelector(".nst-card")];
    const [one, other] = controls.querySelectorAll("select");
    controls.onchange = ({ target }) => {
      // Both axes must differ: change the other select.
      const rest = target === one ? other : one;
      if (one.value === other.value) rest.selectedIndex = rest.selectedIndex ? 0 : 1;
      const plot = plots.find(({ dataset: { x, y } }) =>
        [x + " " + y, y + " " + x].includes(one.value + " " + other.value));
      slot.querySelector(".nst-scatter").replaceWith(plot.cloneNode(true));
    };
    const show = ({ target }) => {
      const mark = target.closest(".nst-mark");
      if (!mark) return;
      const image = document.querySelector(`${mark.getAttribute("href")} img`);
      card.querySelector("img").src = image?.src ?? "data:,";
      card.querySelector("p").textContent = mark.querySelector("title").textContent;
      card.querySelector("small").textContent = image?.alt;
      card.hidden = false;
    };
    for (const type of ["pointerover", "focusin"]) slot.addEventListener(type, show);
    show({ target: slot.querySelector(".nst-front, .nst-mark") });
    controls.hidden = false;
  }
}
