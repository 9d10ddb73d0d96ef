"use strict";
(() => {
  const root = document.documentElement, tip = document.getElementById("tip");
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const remember = (write, value) => {
    try { return write ? localStorage.setItem("fpnprobe-theme", value) : localStorage.getItem("fpnprobe-theme"); }
    catch { return null; } // a page opened from disk may have no storage
  };

  // Color theme: automatic, light, dark.
  const names = ["auto", "light", "dark"], theme = document.getElementById("theme");
  const paint = (name) => {
    if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
    theme.querySelector(".word").textContent = name;
    theme.dataset.name = name;
  };
  paint(names.includes(remember(false)) ? remember(false) : "auto");
  theme.hidden = false;
  theme.onclick = () => {
    const next = names[(names.indexOf(theme.dataset.name) + 1) % names.length];
    remember(true, next);
    paint(next);
  };

  // Values: hover, touch, or arrow keys on a focused figure.
  let current = null;
  const hide = () => { tip.hidden = true; if (current) current.classList.remove("on"); current = null; };
  const show = (mark) => {
    hide();
    current = mark;
    mark.classList.add("on");
    tip.textContent = mark.dataset.value;
    tip.hidden = false;
    place();
  };
  const place = () => {
    if (!current) return;
    const box = current.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - size.width / 2), innerWidth - size.width - 8);
    const above = box.top - size.height - 8;
    tip.style.left = left + "px";
    tip.style.top = (above > 50 ? above : box.bottom + 8) + "px";
  };
  for (const mark of all(".mark")) {
    const title = mark.querySelector("title");
    mark.dataset.value = title.textContent;
    title.remove(); // one tooltip, not two
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("pointerleave", hide);
    mark.addEventListener("click", () => show(mark));
  }
  for (const plot of all(".plot")) {
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      const marks = all(".mark", plot).filter((mark) => mark.getClientRects().length);
      if (!step || !marks.length) return;
      event.preventDefault();
      const at = marks.indexOf(current);
      show(marks[at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length]);
    });
  }
  addEventListener("scroll", place, { passive: true });

  // Downloads, made on the spot from what the page already holds.
  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const plain = (svg) => {
    const copy = svg.cloneNode(true);
    for (const mark of all(".mark", copy)) {
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      title.textContent = mark.dataset.value;
      mark.prepend(title);
      mark.removeAttribute("data-value");
    }
    copy.setAttribute("font-family", "DejaVu Sans, sans-serif");
    return new XMLSerializer().serializeToString(copy).replace(/var\(--c[0-9a-f]{6}, (#[0-9a-f]{6})\)/g, "$1");
  };
  for (const tools of all(".tools")) tools.hidden = false;
  for (const button of all("[data-save]")) {
    button.onclick = () => {
      const block = button.closest("figure, .table"), kind = button.dataset.save;
      if (kind === "svg") save(block.id + ".svg", "image/svg+xml", plain(block.querySelector(".wide svg")));
      else save(block.id + ".csv", "text/csv", block.querySelector("template").content.textContent);
    };
  }

  // Contents: closed on small screens, and always showing where the reader is.
  const contents = document.querySelector(".contents details");
  if (matchMedia("(max-width: 68rem)").matches) contents.open = false;
  const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
  const targets = [...links.keys()].map((id) => document.getElementById(id));
  const follow = () => {
    const passed = targets.filter((target) => target.getBoundingClientRect().top < innerHeight * 0.3);
    for (const link of links.values()) link.removeAttribute("aria-current");
    const link = links.get((passed.pop() || targets[0]).id);
    link.setAttribute("aria-current", "true");
  };
  addEventListener("scroll", follow, { passive: true });
  addEventListener("beforeprint", hide);
  follow();
})();
