// Contents: a menu on narrow windows; what is read is marked; a link into a folded part opens it.
const contents = document.getElementById("contents"), menu = contents.querySelector(".menu");
const unfold = open => {
  contents.classList.toggle("open", open);
  menu.setAttribute("aria-expanded", open);
};
menu.addEventListener("click", () => unfold(!contents.classList.contains("open")));
contents.addEventListener("click", event => { if (event.target.closest("li a")) unfold(false); });
contents.addEventListener("keydown", event => { if (event.key === "Escape") { unfold(false); menu.focus(); } });
const reveal = () => {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!place) return;
  let folded = place.parentElement.querySelector(":scope > details.rows") ?? place;
  for (; folded; folded = folded.parentElement) if (folded.tagName === "DETAILS") folded.open = true;
  place.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
const places = new Map([...contents.querySelectorAll("li a")].map(link => [link.hash.slice(1), link]));
const reading = new IntersectionObserver(entries => entries.forEach(({target, isIntersecting}) => {
  if (!isIntersecting) return;
  places.forEach(link => link.removeAttribute("aria-current"));
  (places.get(target.id) ?? places.get(target.querySelector("h2[id]")?.id))?.setAttribute("aria-current", "true");
}), {rootMargin: "-15% 0px -75% 0px"});
document.querySelectorAll("main > section").forEach(part => reading.observe(part));

// Pairs: three films in step with their curves; the pointer, the arrow keys or the clock choose the frame.
for (const player of document.querySelectorAll(".player")) {
  const {pairs, first} = JSON.parse(document.getElementById(player.dataset.curves).textContent);
  const find = name => player.querySelector(name), all = name => [...player.querySelectorAll(name)];
  const plot = find(".plot"), button = find(".play"), other = find(".other");
  const lines = all(".line"), dots = all(".dot"), takes = all(".take");
  let pair, names, shown = 0, playing = false, since = 0, inSight = false;

  const show = index => {
    const {u, times} = pair;
    shown = Math.max(0, Math.min(u.length - 1, index));
    find(".cursor").style.left = `${100 * u[shown]}%`;
    names.forEach((name, line) => {
      const take = pair.takes[name];
      if (!take) return;
      dots[line].style.left = `${100 * u[shown]}%`;
      dots[line].style.bottom = `${100 * take.line[shown]}%`;
      const column = shown % take.across, row = Math.floor(shown / take.across);
      takes[line].querySelector("img").style.transform = `translate(${-100 * column / take.across}%, ${-100 * row / take.down}%)`;
    });
    const values = names.filter(name => name in pair.takes).map(name => `${name} ${pair.takes[name].line[shown].toFixed(2)}`);
    const readout = `frame ${shown + 1} of ${u.length}, ${times[shown].toFixed(2)} s: ${values.join(", ")}`;
    plot.setAttribute("aria-valuenow", shown + 1);
    plot.setAttribute("aria-valuetext", readout);
    find(".readout").textContent = readout;
  };
  const choose = () => {
    pair = pairs[find(".pair").value];
    names = [...first, other?.value].slice(0, lines.length); // each in its place, made or not
    find(".target").setAttribute("d", path(pair.target));
    plot.setAttribute("aria-valuemax", pair.u.length);
    find(".along .end").textContent = `${pair.times.at(-1).toFixed(1)} s`;
    names.forEach((name, line) => {
      const take = pair.takes[name], image = takes[line].querySelector("img");
      lines[line].setAttribute("d", take ? path(take.line) : "");
      dots[line].hidden = !take;
      image.style.visibility = take ? "" : "hidden";
      image.alt = take ? `Film of ${pair.title}, ${name}` : "";
      if (take) {
        image.src = take.source;
        image.style.width = `${100 * take.across}%`;
      } else image.removeAttribute("src");
      takes[line].querySelector(".name").textContent = line ? name : "";
      takes[line].querySelector(".value b").textContent = take ? take.value : "missing";
      if (line === first.length) takes[line].querySelector(".who").textContent = other.selectedOptions[0].defaultSelected ? "our best warp (chosen on these clips)" : "chosen";
    });
    show(shown);
  };
  const path = line => "M" + line.map((y, index) => `${(100 * pair.u[index]).toFixed(2)},${(100 - 100 * y).toFixed(2)}`).join(" ");
  const play = on => {
    playing = on;
    button.textContent = on ? "Pause" : "Play";
    since = performance.now() - 1000 * pair.times[shown];
    if (on) requestAnimationFrame(step);
  };
  const step = now => {
    if (!playing || !inSight) return;
    const length = pair.times.at(-1), second = (now - since) / 1000 % (length + 1); // a second's rest
    let index = pair.times.findIndex(time => time > second) - 1;
    if (index < 0) index = pair.times.length - 1;
    if (index !== shown) show(index);
    requestAnimationFrame(step);
  };
  player.querySelectorAll("select").forEach(select => select.addEventListener("change", choose));
  button.hidden = false;
  button.addEventListener("click", () => {
    if (!playing && shown === pair.u.length - 1) shown = 0;
    play(!playing);
  });
  plot.addEventListener("pointermove", event => {
    const place = plot.getBoundingClientRect(), share = (event.clientX - place.left) / place.width;
    play(false);
    let nearest = 0;
    pair.u.forEach((value, index) => {
      if (Math.abs(value - share) < Math.abs(pair.u[nearest] - share)) nearest = index;
    });
    show(nearest);
  });
  plot.addEventListener("keydown", event => {
    const steps = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10};
    const ends = {Home: 0, End: pair.u.length - 1};
    if (event.key === " ") button.click();
    else if (event.key in steps || event.key in ends) {
      play(false);
      show(event.key in ends ? ends[event.key] : shown + steps[event.key]);
    } else return;
    event.preventDefault();
  });
  choose();
  show(Math.floor(pair.u.length / 2));
  play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  new IntersectionObserver(entries => {
    inSight = entries.at(-1).isIntersecting; // of several since the last call, the newest
    if (inSight && playing) play(true);
  }).observe(player);
}
