"use strict";
(() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const view = document.querySelector(".view");
  const sheet = view.querySelector(".sheet");
  const images = [...sheet.querySelectorAll("img")];
  const bar = view.querySelector(".bar");
  const width = images[0].width, height = images[0].height;
  const pointers = new Map();
  let scale = 1, left = 0, top = 0, apart = 0;

  const whole = () => Math.min(view.clientWidth / width, view.clientHeight / height);

  function show() {
    scale = Math.min(Math.max(scale, whole() / 2), 40);
    left = Math.min(Math.max(left, 40 - width * scale), view.clientWidth - 40);
    top = Math.min(Math.max(top, 40 - height * scale), view.clientHeight - 40);
    sheet.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    measure();
  }

  function measure() {
    const each = settings.metres / scale;
    const most = 140 * each;
    const power = 10 ** Math.floor(Math.log10(most));
    const metres = [5, 2, 1].map((n) => n * power).find((n) => n <= most);
    const text = metres < 1000 ? `${metres} m` : `${metres / 1000} km`;
    bar.replaceChildren(text, Object.assign(document.createElement("span"), {}));
    bar.lastChild.style.width = `${metres / each}px`;
  }

  function showWhole() {
    scale = whole();
    left = (view.clientWidth - width * scale) / 2;
    top = (view.clientHeight - height * scale) / 2;
    show();
  }

  function zoom(factor, x = view.clientWidth / 2, y = view.clientHeight / 2) {
    const before = scale;
    scale = Math.min(Math.max(scale * factor, whole() / 2), 40);
    left = x - ((x - left) * scale) / before;
    top = y - ((y - top) * scale) / before;
    show();
  }

  function place(event) {
    const box = view.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function moved(event) {
    if (!pointers.has(event.pointerId)) return;
    const [x, y] = place(event), [beforeX, beforeY] = pointers.get(event.pointerId);
    pointers.set(event.pointerId, [x, y]);
    if (pointers.size === 1) {
      left += x - beforeX;
      top += y - beforeY;
      show();
      return;
    }
    const [[ax, ay], [bx, by]] = [...pointers.values()];
    const now = Math.hypot(ax - bx, ay - by);
    if (apart) zoom(now / apart, (ax + bx) / 2, (ay + by) / 2);
    apart = now;
  }

  function released(event) {
    pointers.delete(event.pointerId);
    apart = 0;
  }

  view.addEventListener("pointerdown", (event) => {
    view.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    apart = 0;
  });
  view.addEventListener("pointermove", moved);
  view.addEventListener("pointerup", released);
  view.addEventListener("pointercancel", released);
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...place(event));
  }, { passive: false });
  view.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key === "+") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (steps[event.key]) {
      left += steps[event.key][0];
      top += steps[event.key][1];
      show();
    } else return;
    event.preventDefault();
  });
  for (const button of document.querySelectorAll("[data-zoom]")) {
    const ways = { in: () => zoom(1.6), out: () => zoom(1 / 1.6), all: showWhole };
    button.addEventListener("click", ways[button.dataset.zoom]);
  }
  for (const button of document.querySelectorAll("[data-layer]")) {
    button.addEventListener("click", () => {
      const chosen = Number(button.dataset.layer);
      images.forEach((image, index) => { image.hidden = index !== chosen; });
      document.querySelectorAll("[data-layer]").forEach((one) => one.setAttribute("aria-pressed", one === button));
      document.querySelectorAll(".legend").forEach((one) => { one.hidden = Number(one.dataset.of) !== chosen; });
    });
  }
  window.addEventListener("resize", showWhole);
  window.addEventListener("beforeprint", showWhole);
  showWhole();
})();
