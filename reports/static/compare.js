"use strict";
// Comparison dialog for any two images of the grid, with four modes. The form fields are the only
// state: the browser validates and resets them, and a link to a view stores their values.
{
  const dialog = document.getElementById("nst-compare");
  const part = (name) => dialog.querySelector(`[data-nst="${name}"]`);
  const [form, stage, flicker] = [dialog.querySelector("form"), part("stage"), part("flick")];
  const panes = [...dialog.querySelectorAll(".nst-pane")];
  const words = [...dialog.querySelectorAll(".nst-captions > div > div")];
  const field = form.elements;
  const on = (target, types, act) =>
    types.split(" ").forEach((type) => target.addEventListener(type, act));

  // 1. Options: those of A refer to their figures, those of B are copies. A link names a cell by
  // its id, and a content or style image by its role and the first cell in its row.
  const nameOf = ({ dataset: { cell, role } }, row) =>
    cell ?? `${role}.${row.querySelector("[data-cell]")?.dataset.cell}`;
  const chosen = () => [field.a, field.b].map((side) => field.a.options[side.selectedIndex]);
  const read = () => {
    const groups = [...document.querySelectorAll("tr[data-pair]")].map((row) => {
      const group = document.createElement("optgroup");
      group.label = row.dataset.pair.replace("--", " × ");
      for (const figure of row.querySelectorAll("figure:has(.nst-enlarge)")) {
        const { role, variant } = figure.dataset;
        const seed = figure.querySelector(".nst-seed")?.textContent; // if there are several
        const option = new Option(role ?? [variant, seed].join("  "), nameOf(figure, row));
        group.append(Object.assign(option, { figure }));
      }
      return group;
    });
    field.a.replaceChildren(...groups);
    field.b.replaceChildren(...groups.map((group) => group.cloneNode(true)));
  };
  // The default partner of an image is the content of its row; that of a content is the first cell.
  const partner = (one, [first, second, third] = one.parentNode.children) =>
    one === first ? (third ?? second ?? first) : first;

  // 2. Show the caption and scores of each image as in the grid, with the difference on the better
  // side. Durations in minutes and powers of ten are skipped, since they do not parse as numbers.
  const QUANTITY = /^[◦≈\s]*(-?\d+\.?(\d*)) ?([a-z%]*)$/i;
  const compareScores = () => {
    const [here, there] = words.map((side) => [...side.querySelectorAll(".nst-chips > div")]);
    for (const [index, chip] of here.entries()) {
      const pair = [chip, there[index]];
      const texts = pair.map((one) => one?.lastElementChild.textContent.trim().replace("−", "-"));
      const [a, b] = texts.map((text) => QUANTITY.exec(text));
      if (!a || !b || a[3] !== b[3]) continue;
      const decimals = [a, b].map((one) => (Number(one[1]) ? one[2].length : 9)); // 0 is exact
      const gap = Math.abs(a[1] - b[1]).toFixed(Math.min(...decimals));
      if (!Number(gap)) continue;
      const arrow = chip.querySelector(".nst-arrow")?.textContent;
      const note = document.createElement("dd");
      note.textContent = `${arrow ? "better" : "more"} by ${gap} ${a[3]}`;
      pair[a[1] - b[1] < 0 === (arrow === "↓") ? 0 : 1].append(note);
    }
  };

  // 3. Drawing: `pick` changes the images, `draw` updates everything else.
  const pick = (...both) => {
    for (const [side, { figure, index }] of both.entries()) {
      const image = figure.querySelector("img").cloneNode();
      image.removeAttribute("id"); // ids must stay unique in the page
      Object.assign(image, { decoding: "sync", loading: "eager" }); // avoids flicker
      const original = image.dataset.nstOriginal; // show the thumbnail until it is loaded
      if (original) [image.style, image.src] = [`background-image: url("${image.src}")`, original];
      panes[side].replaceChildren(image);
      words[side].replaceChildren(...figure.querySelector("figcaption").cloneNode(true).childNodes);
      field["ab"[side]].selectedIndex = index;
      words[side].nextElementSibling.textContent = image.dataset.nstNote ?? "";
    }
    compareScores();
    draw();
  };
  // Zoom by `factor` and move the point `at` to `to`, in fractions of a pane from its centre.
  const draw = (factor = 1, at = { x: 0, y: 0 }, to = at) => {
    const before = field.zoom.value;
    field.zoom.value = before * factor; // the field limits the value
    const [ratio, room] = [field.zoom.value / before, (field.zoom.value - 1) / 2];
    for (const axis of ["x", "y"]) { // stop at the edge of the image
      const moved = to[axis] - (at[axis] - field[axis].value) * ratio;
      field[axis].value = Math.min(Math.max(moved, -room), room);
    }
    const { width, height } = panes[0].firstElementChild.attributes;
    stage.style.setProperty("--ratio", width.value / height.value);
    for (const { name, value } of form.querySelectorAll("[type=range]")) {
      stage.style.setProperty(`--${name}`, value);
    }
    const scale = (field.zoom.value * panes[0].clientWidth) / width.value;
    stage.classList.toggle("nst-pixels", scale > 2);
    part("percent").textContent = `${Math.round(100 * scale)} %`;
    part("gain").textContent = `× ${field.gain.value}`;
    part("message").textContent = "";
    clearTimeout(draw.later); // browsers limit how often the address may change
    draw.later = setTimeout(() => dialog.open && write(fragment()), 200);
  };
  const flick = (on = flicker.ariaPressed !== "true") => { flicker.ariaPressed = on; };
  const swap = () => pick(...chosen().reverse());
  // Move A along the row, or to the same variant of another pair, to which B follows.
  const step = (across, by) => {
    const [from, b] = chosen();
    const like = (one) => (across ? one.parentNode === from.parentNode : one.text === from.text);
    const line = [...field.a.options].filter(like);
    const to = line[(line.indexOf(from) + by + line.length) % line.length];
    const twin = [...to.parentNode.children].find((one) => one.text === b.text) ?? partner(to);
    pick(to, b.parentNode === from.parentNode ? twin : b);
  };

  // 4. Opening from the grid or by a link. The address of a sandboxed frame cannot be changed.
  const open = (values) => {
    if (!values.has("a")) return;
    read();
    form.reset();
    for (const [name, value] of values) if (field.namedItem(name)) field[name].value = value;
    const [a, b] = chosen();
    if (!a) return;
    if (!dialog.open) dialog.showModal();
    stage.focus(); // autofocus is blocked in frames and logs an error
    flick(false);
    pick(a, values.has("b") && b ? b : partner(a));
  };
  const reopen = () => open(new URLSearchParams(location.hash.slice(1).replaceAll(";", "&")));
  const fragment = () => {
    const changed = ([name, value]) => field[name].defaultValue !== value;
    return `#${new URLSearchParams([...new FormData(form)].filter(changed))}`.replaceAll("&", ";");
  };
  const write = (address) => {
    try { history.replaceState(history.state, "", address); } catch { /* copying still works */ }
  };
  const copy = () => {
    const hasAddress = location.protocol === "file:" || location.host;
    part("message").textContent = (hasAddress ? location.href.split("#")[0] : "") + fragment();
    getSelection().selectAllChildren(part("message"));
    // The Clipboard API is blocked in frames. If this fails too, the link stays selected to copy.
    if (document.execCommand("copy")) part("message").textContent = "Copied";
  };
  on(document, "click", ({ target }) => {
    const button = target.closest("button.nst-enlarge");
    if (!button) return;
    button.focus({ preventScroll: true }); // focus returns here when the dialog closes
    const a = nameOf(button.closest("figure"), button.closest("tr"));
    open(new URLSearchParams({ compare: field.compare.value, a }));
  });
  on(window, "DOMContentLoaded hashchange", reopen); // after page.js has set all image sources
  on(window, "resize", () => dialog.open && draw());
  on(dialog, "close", () => write(location.href.split("#")[0]));

  // 5. Pointer events.
  const place = (event, pane = event.target.closest(".nst-pane") ?? panes[0]) => {
    const { x, y, width, height } = pane.getBoundingClientRect();
    return { pane, x: (event.clientX - x) / width - 0.5, y: (event.clientY - y) / height - 0.5 };
  };
  const held = new Map(); // positions of pressed pointers; two of them zoom
  const grip = ([one, two = one] = held.values()) => {
    const distance = Math.hypot(one.x - two.x, one.y - two.y) || 1;
    return { x: (one.x + two.x) / 2, y: (one.y + two.y) / 2, distance };
  };
  on(form, "input", ({ target }) => ("options" in target ? pick(...chosen()) : draw()));
  on(part("swap"), "click", swap);
  on(part("copy"), "click", copy);
  on(flicker, "click", ({ detail }) => detail || flick()); // 0: activated by the keyboard
  on(flicker, "pointerdown", ({ pointerId }) => {
    flicker.setPointerCapture(pointerId); // receive the release outside of the button
    flick(true);
  });
  on(flicker, "lostpointercapture", () => flick(false));
  on(stage, "pointerdown", (event) => {
    if (event.target !== field.cut) held.set(event.pointerId, place(event));
  });
  on(window, "pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    const before = grip();
    held.set(event.pointerId, place(event, held.get(event.pointerId).pane));
    draw(grip().distance / before.distance, before, grip());
  });
  on(window, "pointerup pointercancel", ({ pointerId }) => held.delete(pointerId));
  on(stage, "wheel", (event) => {
    event.preventDefault();
    draw(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), place(event)); // ctrl: pinch
  });

  // 6. Keys. If zoomed in, arrows pan; with Shift they change the image.
  const turn = (x, y) => ({ shiftKey }) => field.zoom.value > 1 && !shiftKey
    ? draw(1, undefined, { x: -x / 8, y: -y / 8 })
    : step(x, x + y);
  const KEYS = {
    ArrowLeft: turn(-1, 0), ArrowRight: turn(1, 0), ArrowUp: turn(0, -1), ArrowDown: turn(0, 1),
    "+": () => draw(1.25), "=": () => draw(1.25), "-": () => draw(0.8), 0: () => draw(0),
    s: swap, S: swap,
    " ": ({ repeat }) => repeat || flick(), // ignore key repeat
  };
  field.compare.forEach((mode, index) => { KEYS[index + 1] = () => mode.click(); });
  on(dialog, "keydown", (event) => {
    const { key, target, ctrlKey, metaKey, altKey } = event;
    if (ctrlKey || metaKey || altKey || !KEYS[key] || target.matches("select")) return;
    if (key.startsWith("Arrow") && target.type === "range") return;
    if (key === " " && (field.compare.value !== "flicker" || target.matches("button"))) return;
    event.preventDefault();
    KEYS[key](event);
  });
}
