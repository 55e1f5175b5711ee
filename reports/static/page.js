"use strict";
// Without this script the page is still readable, but repeated images appear only once.
// 1. An image is embedded at its first use; copy it to all other uses.
for (const image of document.querySelectorAll("img[data-nst-same]")) {
  image.src = document.getElementById(image.dataset.nstSame).src;
}
// 2. Print the contents of closed sections too.
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
