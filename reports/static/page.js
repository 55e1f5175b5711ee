"use strict";
// Without this script the page still reads; images that appear twice then appear once.
// 1. An image is embedded at its first use; further uses borrow it.
for (const image of document.querySelectorAll("img[data-nst-same]")) {
  image.src = document.getElementById(image.dataset.nstSame).src;
}
// 2. Print what is folded away too.
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
