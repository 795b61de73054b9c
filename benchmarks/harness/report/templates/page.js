"use strict";

// Tables: a click on a heading sorts by it, a second one the other way; nothing comes last.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    const key = row => row.cells[column].dataset.key;
    const numeric = rows.every(row => key(row) === "" || !isNaN(key(row)));
    rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      return (up ? 1 : -1) * (numeric ? x - y : x.localeCompare(y));
    });
    table.tBodies[0].append(...rows);
  }));
}

// Curves: the frames at the pointer, or at the place that the arrow keys choose.
for (const player of document.querySelectorAll(".player")) {
  const {times, u, lines, names} = JSON.parse(player.dataset.curves);
  const plot = player.querySelector("svg"), box = plot.querySelector("rect");
  const [, , wide] = plot.getAttribute("viewBox").split(" ").map(Number);
  const [left, width, height] = ["x", "width", "height"].map(name => +box.getAttribute(name));
  const cursor = plot.querySelector(".cursor"), dots = [...plot.querySelectorAll("circle")];
  const sheets = [...player.querySelectorAll(".tile img")];
  let shown = 0;
  const show = index => {
    shown = Math.max(0, Math.min(u.length - 1, index));
    const x = left + u[shown] * width;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    dots.forEach((dot, line) => {
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", +box.getAttribute("y") + (1 - lines[line][shown]) * height);
    });
    for (const sheet of sheets) {
      const {across, down} = sheet.dataset;
      const column = shown % across, row = Math.floor(shown / across);
      sheet.style.transform = `translate(${-100 * column / across}%, ${-100 * row / down}%)`;
    }
    const values = names.map((name, line) => `${name} ${lines[line][shown].toFixed(2)}`);
    const said = `frame ${shown + 1} of ${u.length}, ${times[shown].toFixed(2)} s: ${values.join(", ")}`;
    plot.setAttribute("aria-valuenow", shown + 1);
    plot.setAttribute("aria-valuetext", said);
    player.querySelector(".said").textContent = said;
  };
  plot.addEventListener("pointermove", event => {
    const place = plot.getBoundingClientRect();
    const share = ((event.clientX - place.left) * wide / place.width - left) / width;
    let nearest = 0;
    u.forEach((value, index) => {
      if (Math.abs(value - share) < Math.abs(u[nearest] - share)) nearest = index;
    });
    show(nearest);
  });
  plot.addEventListener("keydown", event => {
    const steps = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10};
    const ends = {Home: 0, End: u.length - 1};
    if (!(event.key in steps || event.key in ends)) return;
    event.preventDefault();
    show(event.key in ends ? ends[event.key] : shown + steps[event.key]);
  });
  show(Math.floor(u.length / 2));
}

// Films play while they are in sight, unless the reader wants nothing to move.
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
  const watch = new IntersectionObserver(entries => entries.forEach(({target, isIntersecting}) => {
    if (isIntersecting) target.play().catch(() => {});
    else target.pause();
  }));
  document.querySelectorAll("video").forEach(film => watch.observe(film));
}

addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach(part => { part.open = true; });
});
