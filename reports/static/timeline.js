// The time line: one slider for all images of a pair, so that all stand at the same pass.
for (const line of document.querySelectorAll(".nst-timeline")) {
  const [tools, ...scenes] = line.children;
  const [choice, slider, told] = tools.querySelectorAll("select, input, output");
  const steps = slider.dataset.steps.split(" ");
  const show = () => {
    const step = steps[slider.value];
    scenes.forEach((scene, index) => { scene.hidden = index !== choice.selectedIndex; });
    for (const strip of line.querySelectorAll(".nst-strip")) {
      const frames = [...strip.querySelectorAll("[data-step]")];
      // Not every optimisation is as long: one that has ended stays at its end.
      const now = frames.findLast(({ dataset }) => dataset.step - step <= 0) ?? frames[0];
      for (const frame of frames) frame.hidden = frame !== now;
    }
    told.value = slider.ariaValueText = `${step} pass${step > 1 ? "es" : ""}`;
  };
  tools.oninput = show;
  tools.hidden = false;
  show();
}
