// Timeline: one slider sets all images of a pair to the same pass.
for (const line of document.querySelectorAll(".nst-timeline")) {
  const [tools, ...scenes] = line.children;
  const [choice, slider, output] = tools.querySelectorAll("select, input, output");
  const steps = slider.dataset.steps.split(" ");
  const show = () => {
    const step = steps[slider.value];
    scenes.forEach((scene, index) => { scene.hidden = index !== choice.selectedIndex; });
    for (const strip of line.querySelectorAll(".nst-strip")) {
      const frames = [...strip.querySelectorAll("[data-step]")];
      // An optimisation with fewer passes stays at its last image.
      const now = frames.findLast(({ dataset }) => dataset.step - step <= 0) ?? frames[0];
      for (const frame of frames) frame.hidden = frame !== now;
    }
    output.value = slider.ariaValueText = `${step} pass${step > 1 ? "es" : ""}`;
  };
  tools.oninput = show;
  tools.hidden = false;
  show();
}
