"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const place = (line, x) => { line.setAttribute("x1", x); line.setAttribute("x2", x); };

  // The slider over the grids. All are made ready at once, so that none is waited for.
  const slider = byId("slider"), play = byId("play");
  if (slider) {
    const last = data.grids.length - 1;
    const images = data.grids.map((grid, index) => {
      if (index === last) return byId("stage").firstElementChild;
      const image = new Image();
      image.src = grid.src;
      image.alt = "Grid of generated faces, " + grid.caption;
      image.hidden = true;
      byId("stage").append(image);
      return image;
    });
    let shown = last, timer = 0;
    const show = (index) => {
      images[shown].hidden = true;
      images[index].hidden = false;
      shown = index;
      slider.value = index;
      slider.setAttribute("aria-valuetext", data.grids[index].caption);
      byId("caption").textContent = data.grids[index].caption;
      document.querySelectorAll(".now").forEach((line) => place(line, data.grids[index].x));
    };
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
    const start = () => {
      if (shown === last) show(0);
      play.textContent = "Pause";
      timer = setInterval(() => { shown < last ? show(shown + 1) : stop(); }, Math.max(100, 6000 / data.grids.length));
    };
    const toggle = () => timer ? stop() : start();
    play.addEventListener("click", toggle);
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    slider.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); toggle(); } });
    show(last);
    byId("controls").hidden = byId("keys").hidden = false;
  }

  // The values of the curves, where they are pointed at.
  const number = (value) => value === null ? "–" : Number(value.toPrecision(4)).toLocaleString("en");
  document.querySelectorAll("svg[data-panel]").forEach((drawing) => {
    const panel = data.panels[Number(drawing.dataset.panel)];
    const output = byId("read-" + drawing.dataset.panel), cursor = drawing.querySelector(".cursor");
    let at = panel.steps.length - 1;
    const read = (index) => {
      at = Math.min(Math.max(index, 0), panel.steps.length - 1);
      place(cursor, data.left + (data.right - data.left) * panel.steps[at] / data.last);
      output.textContent = "step " + Math.round(panel.steps[at]).toLocaleString("en") + ": " + panel.values.map((each) => number(each[at])).join(", ");
    };
    drawing.addEventListener("pointermove", (event) => {
      const box = drawing.getBoundingClientRect();
      const step = ((event.clientX - box.left) * data.width / box.width - data.left) / (data.right - data.left) * data.last;
      let nearest = 0;
      panel.steps.forEach((each, index) => { if (Math.abs(each - step) < Math.abs(panel.steps[nearest] - step)) nearest = index; });
      read(nearest);
    });
    drawing.addEventListener("pointerleave", () => { place(cursor, -9); output.textContent = ""; });
    drawing.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) { event.preventDefault(); read(output.textContent ? at + by : at); }
    });
  });
})();
