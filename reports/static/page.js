"use strict";
// Without this script the page still reads; images that appear twice then appear once.
{
  // 1. An image is embedded at its first use; further uses borrow it.
  for (const image of document.querySelectorAll("img[data-nst-same]")) {
    image.src = document.getElementById(image.dataset.nstSame).src;
  }

  // 2. A click, or Enter, opens an image larger; arrows go on to its neighbours, Esc closes.
  const dialog = document.getElementById("nst-lightbox");
  const [large, caption] = [dialog.querySelector("img"), dialog.querySelector("figcaption")];
  const buttons = [...document.querySelectorAll("button.nst-enlarge")];
  let current = 0;

  const show = (index) => {
    current = (index + buttons.length) % buttons.length;
    const image = buttons[current].querySelector("img");
    const words = buttons[current].closest("figure").querySelector("figcaption");
    large.src = image.src;
    large.alt = image.alt;
    large.width = image.naturalWidth;
    large.height = image.naturalHeight;
    large.style.setProperty("--nst-ratio", image.naturalWidth / image.naturalHeight || 1);
    caption.replaceChildren(...words.cloneNode(true).childNodes);
  };

  for (const [index, button] of buttons.entries()) {
    button.addEventListener("click", () => {
      show(index);
      dialog.showModal();
    });
  }
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) show(current + step);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target === large) dialog.close();
  });
  dialog.addEventListener("close", () => buttons[current].focus());

  // 3. Print what is folded away too.
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
}
