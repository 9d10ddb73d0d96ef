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
  }
  const under = (event) => document.elementsFromPoint(event.clientX, event.clientY).map((element) => element.closest(".mark")).find(Boolean);
  for (const plot of all(".plot")) {
    const follow = (event) => {  // also where a text lies over the mark
      const mark = under(event);
      if (mark && mark !== current) show(mark); else if (!mark) hide();
    };
    plot.addEventListener("pointermove", follow);
    plot.addEventListener("click", follow);
    plot.addEventListener("pointerleave", hide);
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
  const draw = (svg, name) => {
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number), scale = 3;
    const image = new Image(), canvas = document.createElement("canvas");
    canvas.width = width * scale;
    canvas.height = height * scale;
    const text = plain(svg).replace("<svg ", `<svg width="${width * scale}" height="${height * scale}" `);
    image.onload = () => {
      const context = canvas.getContext("2d");
      context.fillStyle = "#ffffff";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(name, "image/png", blob));
    };
    const bytes = new TextEncoder().encode(text);
    image.src = "data:image/svg+xml;base64," + btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  };
  for (const tools of all(".tools")) tools.hidden = false;
  for (const button of all("[data-save]")) {
    button.onclick = () => {
      const block = button.closest("figure, .table"), kind = button.dataset.save;
      if (kind === "svg") save(block.id + ".svg", "image/svg+xml", plain(block.querySelector(".wide svg")));
      else if (kind === "png") draw(block.querySelector(".wide svg"), block.id + ".png");
      else save(block.id + ".csv", "text/csv", block.querySelector("template").content.textContent);
    };
  }

  // Legends: a click on a key hides its lines and marks, in both layouts of the figure.
  for (const plot of all(".plot")) {
    const toggle = (series) => {
      for (const part of all("[data-series]", plot)) {
        if (part.dataset.series !== series) continue;
        const off = part.classList.toggle("off");
        if (part.hasAttribute("aria-pressed")) part.setAttribute("aria-pressed", String(!off));
      }
      hide();
    };
    for (const key of all(".key", plot)) {
      key.addEventListener("click", () => toggle(key.dataset.series));
      if (!key.querySelector("text")) continue; // the sample beside the text
      key.setAttribute("tabindex", "0");
      key.setAttribute("role", "button");
      key.setAttribute("aria-label", key.dataset.series);
      key.setAttribute("aria-pressed", "true");
      key.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        toggle(key.dataset.series);
      });
    }
    for (const svg of all("svg", plot)) if (svg.querySelector(".key")) svg.setAttribute("role", "group");
  }

  // Tables: a click on a heading sorts by it, numbers by their value, and again turns it round.
  const value = (row, column) => row.cells[column].textContent.replace(/−/g, "-").trim();
  for (const table of all("main table")) {
    const heads = all("th", table), body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.onclick = () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => { const text = value(row, column), number = parseFloat(text); return Number.isNaN(number) ? text : number; };
        const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
        const sorted = [...body.rows].map((row) => [key(row), row]).sort(([a], [b]) => (up ? order(a, b) : order(b, a)));
        body.append(...sorted.map(([, row]) => row));
      };
    });
  }

  // Explained words: the same on hover, and on a touch.
  for (const word of all("abbr[title]")) word.addEventListener("click", () => {
    tip.textContent = word.title;
    tip.hidden = false;
    current = word;
    place();
  });

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
