const data = JSON.parse(document.getElementById("data").textContent);
for (const clip of data.clips) if (clip.film) clip.times ??= clip.progress.map((_, k) => k * clip.step);
const at = id => document.getElementById(id);
const reads = name => name.replaceAll("_", " ");
const colour = name => `c${data.generators.indexOf(name) % 8}`;

function html(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}
function svg(tag, attributes = {}, ...inside) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

// What is shown. `time` is a share of the running time; `show` lists generators, null the first few.
const state = {};
const count = pair => data.clips.filter(clip => clip.pair === pair.name).reduce((sum, clip) => sum + (clip.film ? 1000 : 1), 0);
const fullest = data.pairs.reduce((best, pair) => best && count(best) >= count(pair) ? best : pair, null);
const first = {pair: fullest?.name ?? "", metric: data.metrics[0].name, category: "",
  quality: data.quality[0] ?? "", clock: "seconds", time: 0.4, show: null};

function restore() {
  const params = new URLSearchParams(location.hash.slice(1));
  const known = {pair: data.pairs.map(pair => pair.name), metric: data.metrics.map(one => one.name),
    category: ["", ...data.categories], quality: data.quality, clock: ["seconds", "share"]};
  Object.assign(state, first);
  for (const [name, values] of Object.entries(known))
    if (params.has(name) && values.includes(params.get(name))) state[name] = params.get(name);
  const time = parseFloat(params.get("time"));
  if (time >= 0 && time <= 1) state.time = time;
  if (params.has("show")) state.show = params.getAll("show").filter(name => data.generators.includes(name));
}

function remember() {
  const params = new URLSearchParams();
  for (const name of ["pair", "metric", "category", "quality", "clock"])
    if (state[name] !== first[name]) params.set(name, state[name]);
  params.set("time", state.time.toFixed(4));
  for (const name of state.show ?? []) params.append("show", name);
  if (state.show?.length === 0) params.append("show", "");
  history.replaceState(null, "", "#" + params);
}

const metric = () => data.metrics.find(one => one.name === state.metric);
const board = () => data.boards[state.category][state.metric];
const pairs = () => data.pairs.filter(pair => !state.category || pair.category === state.category);

// Numbers: as many decimals as give the largest of a column three digits.
function printer(values) {
  const largest = Math.max(...values.filter(Number.isFinite).map(Math.abs), 1e-9);
  const places = Math.max(0, Math.min(8, 2 - Math.floor(Math.log10(largest))));
  return value => Number.isFinite(value) ? value.toFixed(places) : "";
}

// Films: one image of all frames each, loaded when they are shown.
const films = new Map();
function film(path) {
  if (!films.has(path)) {
    const image = new Image();
    image.src = path.split("/").map(encodeURIComponent).join("/");
    films.set(path, image);
    if (films.size > 4 * data.films) films.delete(films.keys().next().value);
  }
  return films.get(path);
}

let panels = [], length = 1, timed = true, playing = 0;

function ranked() {
  const order = [...new Set(board().rows.map(row => row.generator))];
  return data.clips.filter(clip => clip.pair === state.pair && order.includes(clip.generator))
    .sort((a, b) => order.indexOf(a.generator) - order.indexOf(b.generator));
}
const shown = clips => state.show
  ? clips.filter(clip => state.show.includes(clip.generator)) : clips.slice(0, data.films);
const lasts = clip => clip.times.at(-1);

function stage() {
  const clips = shown(ranked()), filmed = clips.filter(clip => clip.film);
  const seconds = filmed.every(clip => clip.timed);
  const ends = filmed.map(lasts);
  at("clocks").hidden = !seconds || !ends.length || Math.max(...ends) - Math.min(...ends) < 40;
  document.querySelector(".transport").hidden = !filmed.length;
  timed = seconds && (state.clock === "seconds" || at("clocks").hidden);
  length = seconds ? Math.max(...ends, 1) : Math.max(...filmed.map(clip => clip.times.length)) / 24 * 1000;
  const print = printer(clips.map(clip => clip.values[state.metric]));
  panels = clips.map(clip => panel(clip, filmed, print));
  at("stage").replaceChildren(...panels.map(one => one.figure));
  at("stage").style.setProperty("--panels", Math.max(panels.length, 2));
  if (!clips.length) at("stage").replaceChildren(html("p", {class: "soft"}, "No clip is chosen: tick generators in the list."));
  at("clips").textContent = `Clips of ${state.pair}`;
  const {definition, better} = metric();
  at("definition").textContent = `${reads(state.metric)}: ${definition}; ${better} is more even.`;
  const most = Math.max(...filmed.map(clip => clip.times.length), 2);
  at("time").max = Math.max(1000, most - 1);
  at("time").dataset.step = 1 / (most - 1);
  draw();
}

// Where a clip stands in its own time when the share `state.time` of the running time has passed.
const own = clip => timed ? Math.min(state.time * length, lasts(clip)) : state.time * lasts(clip);
function index(clip) {
  const time = own(clip) + 0.5;  // times are rounded to whole thousandths
  let low = 0, high = clip.times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (clip.times[middle] <= time) low = middle; else high = middle - 1;
  }
  return low;
}
const WIDE = 200, HIGH = 100, EDGE = 7;
const x = (clip, time) => EDGE + (WIDE - 2 * EDGE) * (timed ? time / length : time / lasts(clip));
const y = progress => HIGH - EDGE - (HIGH - 2 * EDGE) * progress / 1000;
const path = clip => "M" + clip.times.map((time, k) => `${x(clip, time).toFixed(1)},${y(clip.progress[k]).toFixed(1)}`).join(" ");

function panel(clip, others, print) {
  const row = board().rows.find(one => one.generator === clip.generator);
  const name = clip.seed === undefined ? clip.generator : `${clip.generator} (seed ${clip.seed})`;
  const figure = html("figure", {class: `panel ${colour(clip.generator)}`, "data-generator": clip.generator},
    html("figcaption", {}, html("span", {class: "place", title: "place in the list"}, row?.order == null ? "–" : String(row.order)),
      html("span", {class: "name", title: name}, name),
      html("span", {class: "value"}, print(clip.values[state.metric]))));
  const made = {clip, figure};
  const box = html("div", {class: "film", style: `aspect-ratio: ${clip.aspect ?? 1.8}`});
  figure.append(box);
  if (!clip.film) {
    box.append(html("p", {class: "missing"}, clip.missing));
    return made;
  }
  made.canvas = html("canvas", {role: "img", "aria-label": `Clip of ${name}`, width: 1, height: 1});
  made.image = film(clip.film);
  made.image.addEventListener("load", draw);
  made.image.addEventListener("error", () => box.replaceChildren(html("p", {class: "missing"}, "its film is not beside this page")));
  box.append(made.canvas);
  made.cursor = svg("line", {class: "cursor", y1: 0, y2: HIGH});
  made.marker = svg("circle", {class: "marker", r: 5});
  const plot = svg("svg", {viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `Progress of ${name} over time`},
    svg("path", {class: "axis", d: `M${EDGE},${EDGE} V${HIGH - EDGE} H${WIDE - EDGE}`}),
    ...others.filter(other => other !== clip).map(other => svg("path", {class: "other", d: path(other)})),
    svg("path", {class: "even", d: `M${EDGE},${y(0)} L${x(clip, lasts(clip))},${y(1000)}`}),
    svg("path", {class: "own", d: path(clip)}), made.cursor, made.marker);
  const scrub = event => {
    const place = plot.getBoundingClientRect();
    pause();
    seek(((event.clientX - place.left) / place.width * WIDE - EDGE) / (WIDE - 2 * EDGE));
  };
  plot.addEventListener("pointerdown", event => { plot.setPointerCapture(event.pointerId); scrub(event); });
  plot.addEventListener("pointermove", event => { if (event.buttons) scrub(event); });
  figure.append(plot);
  if (clip.exclusion) figure.append(html("p", {class: "why"}, `takes part in no comparison: ${clip.exclusion}`));
  return made;
}

function draw() {
  for (const {clip, canvas, image, cursor, marker, figure} of panels) {
    if (!clip.film) continue;
    const frame = index(clip), tile = Math.min(frame, clip.frames - 1);
    figure.dataset.frame = frame;
    const time = own(clip);
    const next = Math.min(frame + 1, clip.times.length - 1), step = clip.times[next] - clip.times[frame];
    const part = step ? Math.max(0, Math.min(1, (time - clip.times[frame]) / step)) : 0;
    const progress = clip.progress[frame] + part * (clip.progress[next] - clip.progress[frame]);
    cursor.setAttribute("x1", x(clip, time));
    cursor.setAttribute("x2", x(clip, time));
    marker.setAttribute("cx", x(clip, time));
    marker.setAttribute("cy", y(progress));
    if (!image.complete || !image.naturalWidth) continue;
    const wide = image.naturalWidth / data.across, high = image.naturalHeight / Math.ceil(clip.frames / data.across);
    if (canvas.width !== wide || canvas.height !== high) { canvas.width = wide; canvas.height = high; }
    const column = tile % data.across, line = Math.floor(tile / data.across);
    canvas.getContext("2d").drawImage(image, column * wide, line * high, wide, high, 0, 0, wide, high);
  }
  const seconds = (state.time * length / 1000).toFixed(2), whole = (length / 1000).toFixed(2);
  const text = timed ? `${seconds} of ${whole} s` : `${Math.round(100 * state.time)}% of the time`;
  at("time").value = Math.round(state.time * at("time").max);
  at("time").setAttribute("aria-valuetext", text);
  at("clocktime").textContent = text;
}

function seek(share) {
  state.time = Math.max(0, Math.min(1, share));
  draw();
  later();
}
let pending = 0;
function later() {
  clearTimeout(pending);
  pending = setTimeout(remember, 150);
}
function pause() {
  if (!playing) return;
  cancelAnimationFrame(playing);
  playing = 0;
  at("play").textContent = "Play";
  remember();
}
function play() {
  at("play").textContent = "Pause";
  if (state.time >= 1) state.time = 0;
  let before = performance.now(), rests = 0;
  const step = now => {
    const passed = Math.max(0, now - before);
    before = now;
    if (state.time < 1) { state.time = Math.min(1, state.time + passed / length); rests = 0; draw(); }
    else if ((rests += passed) > 700) state.time = 0;
    playing = requestAnimationFrame(step);
  };
  playing = requestAnimationFrame(step);
}

// The ranked list with its interval plot.
function scale(values) {
  const low = Math.min(...values), high = Math.max(...values), room = (high - low || Math.abs(high) || 1) * 0.05;
  return [low - room, high + room];
}
function ticks([low, high]) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough);
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push([k * step, (k * step).toFixed(places)]);
  return found;
}
const percent = (value, [low, high]) => `${(100 * (value - low) / (high - low)).toFixed(2)}%`;

function list() {
  const {rows, sentences} = board();
  at("sentences").replaceChildren(...sentences.map(line => html("p", {}, line)));
  at("ranks").textContent = `${rows.some(row => row.rank != null) ? "Ranked" : "In order"} by ${reads(state.metric)}`;
  const every = rows.flatMap(row => [row.mean, row.low, row.high, ...Object.values(row.values ?? {})]).filter(Number.isFinite);
  const range = scale(every.length ? every : [0, 1]), marks = ticks(range);
  const print = printer(rows.map(row => row.mean)), here = new Map(ranked().map(clip => [clip.generator, clip]));
  const visible = new Set(shown(ranked()).map(clip => clip.generator));
  const axis = svg("svg", {"aria-hidden": "true"}, ...marks.flatMap(([value, text]) => [
    svg("text", {x: percent(value, range), y: 14, "text-anchor": "middle"}, text),
    svg("line", {class: "axis", x1: percent(value, range), x2: percent(value, range), y1: 20, y2: 30})]));
  const head = (text, kind = "n") => html("th", {scope: "col", class: kind}, text);
  const ranks = rows.some(row => row.rank != null);
  const better = metric().better === "lower" ? "← more even" : "more even →";
  const table = [html("thead", {}, html("tr", {}, head("#", ranks ? "n wide" : "n"), ...(ranks ? [head("Rank")] : []), head("Generator", "generator"),
    head("Mean"), html("th", {scope: "col", class: "interval"}, html("span", {class: "soft"}, better), axis),
    head("This pair", "n wide"), ...(ranks ? [head("Tied with", "wide"), head("Best", "n wide")] : []), head("Pairs", "n wide")))];
  const several = new Set(rows.map(row => row.group)).size > 1;
  for (const group of [...new Set(rows.map(row => row.group))]) {
    const body = html("tbody");
    const own = rows.filter(row => row.group === group);
    if (several) {
      const title = group == null ? "Compared with no other generator" : `Group ${group}: ${own[0].pairs} pairs that all of these share`;
      body.append(html("tr", {}, html("th", {colspan: 9, scope: "rowgroup"}, title)));
    }
    for (const row of own) {
      const tick = html("input", {type: "checkbox"});
      tick.checked = visible.has(row.generator);
      tick.disabled = !here.has(row.generator);
      tick.addEventListener("change", () => {
        const now = new Set(shown(ranked()).map(clip => clip.generator));
        tick.checked ? now.add(row.generator) : now.delete(row.generator);
        state.show = data.generators.filter(name => now.has(name));
        stage();
        remember();
      });
      const name = html("label", {title: "show its clip"}, tick, html("span", {class: "swatch"}), html("span", {}, row.generator));
      const cell = (text, kind = "n") => html("td", {class: kind}, text ?? "");
      body.append(html("tr", {class: colour(row.generator), "data-generator": row.generator},
        cell(row.order == null ? "–" : String(row.order), ranks ? "n wide" : "n"), ...(ranks ? [cell(row.rank == null ? "" : String(row.rank))] : []), html("td", {class: "generator"}, name), cell(print(row.mean), "n mean"),
        html("td", {class: "interval"}, interval(row, range, marks, print)), cell(print(here.get(row.generator)?.values[state.metric]), "n pair wide"),
        ...(ranks ? [cell(row.tied_with, "wide"), cell(row.best == null ? "" : row.best.toFixed(2), "n wide")] : []), cell(row.pairs == null ? "" : String(row.pairs), "n wide")));
    }
    table.push(body);
  }
  at("list").replaceChildren(html("table", {}, ...table));
}

const bounded = (low, high) => low != null || high != null;

function interval(row, range, marks, print) {
  const [low, high] = [row.low, row.high].map(end => end == null ? "no bound" : print(end)); // an open end goes to the edge
  const bounds = bounded(row.low, row.high) ? `95% interval ${low} to ${high}` : "no interval";
  const made = svg("svg", {role: "img", "aria-label": `${row.generator}: mean ${print(row.mean)}, ${bounds}`},
    ...marks.map(([value]) => svg("line", {class: "axis", x1: percent(value, range), x2: percent(value, range), y1: 0, y2: 34})));
  if (bounded(row.low, row.high)) made.append(svg("line", {class: "bar", x1: percent(row.low ?? range[0], range), x2: percent(row.high ?? range[1], range), y1: 17, y2: 17}));
  for (const [pair, value] of Object.entries(row.values ?? {})) {
    if (!Number.isFinite(value)) continue;
    made.append(svg("circle", {class: pair === state.pair ? "dot shown" : "dot", cx: percent(value, range), cy: 17, r: pair === state.pair ? 5.5 : 3.5}, svg("title", {}, `${pair}: ${print(value)}`)));
  }
  if (row.mean != null) made.append(svg("line", {class: "mean", x1: percent(row.mean, range), x2: percent(row.mean, range), y1: 7, y2: 27}));
  return made;
}

// Pacing against quality, and who is beaten in both by no other.
function tradeoff() {
  const known = board().rows.filter(row => row.quality?.[state.quality]?.[0] != null && row.mean != null);
  at("unscored").hidden = known.length > 0;
  at("dimensions").hidden = !data.quality.length;
  at("plot").replaceChildren();
  if (!known.length) return;
  const sign = metric().better === "lower" ? 1 : -1;
  const front = known.filter(row => !known.some(other => other.group === row.group && sign * other.mean <= sign * row.mean
    && other.quality[state.quality][0] >= row.quality[state.quality][0]
    && (sign * other.mean < sign * row.mean || other.quality[state.quality][0] > row.quality[state.quality][0])));
  const across = scale(known.flatMap(row => [row.mean, row.low, row.high].filter(Number.isFinite)));
  const up = scale(known.flatMap(row => row.quality[state.quality].filter(Number.isFinite)));
  const full = Math.max(320, Math.min(720, at("plot").clientWidth));
  const [left, top, wide, tall] = [58, 12, full - 70, 300];
  const px = value => left + wide * (value - across[0]) / (across[1] - across[0]);
  const py = value => top + tall * (up[1] - value) / (up[1] - up[0]);
  const names = front.map(row => row.generator).join(", ");
  const plot = svg("svg", {viewBox: `0 0 ${full} 366`, role: "img", "aria-label": `${reads(state.metric)} against ${reads(state.quality)}; beaten in both by no other: ${names}`});
  for (const [value, text] of ticks(across)) plot.append(svg("line", {class: "axis", x1: px(value), x2: px(value), y1: top, y2: top + tall}), svg("text", {x: px(value), y: top + tall + 18, "text-anchor": "middle"}, text));
  for (const [value, text] of ticks(up)) plot.append(svg("line", {class: "axis", x1: left, x2: left + wide, y1: py(value), y2: py(value)}), svg("text", {x: left - 8, y: py(value) + 4, "text-anchor": "end"}, text));
  const sorted = [...front].sort((a, b) => a.mean - b.mean);
  plot.append(svg("path", {class: "even", d: "M" + sorted.map(row => `${px(row.mean)},${py(row.quality[state.quality][0])}`).join(" ")}));
  const taken = [];
  for (const row of [...known].sort((a, b) => b.quality[state.quality][0] - a.quality[state.quality][0])) {
    const [mean, low, high] = row.quality[state.quality], g = svg("g", {class: colour(row.generator)});
    if (bounded(row.low, row.high)) g.append(svg("line", {class: "other", x1: px(row.low ?? across[0]), x2: px(row.high ?? across[1]), y1: py(mean), y2: py(mean)}));
    if (bounded(low, high)) g.append(svg("line", {class: "other", x1: px(row.mean), x2: px(row.mean), y1: py(low ?? up[0]), y2: py(high ?? up[1])}));
    const before = px(row.mean) > left + wide * 0.7, name = row.generator.length > 24 ? row.generator.slice(0, 23) + "…" : row.generator;
    const [start, end] = before ? [px(row.mean) - 10 - 8 * name.length, px(row.mean)] : [px(row.mean), px(row.mean) + 10 + 8 * name.length];
    let line = py(mean) - 7;  // of the name: below those that it would cover
    for (const [from, to, other] of taken) if (from < end && start < to && Math.abs(other - line) < 14) line = other + 14;
    taken.push([start, end, line]);
    g.append(svg("circle", {class: "point", cx: px(row.mean), cy: py(mean), r: 6}),
      svg("text", {class: "named", x: px(row.mean) + (before ? -9 : 9), y: line, "text-anchor": before ? "end" : "start"}, name));
    plot.append(g);
  }
  plot.append(svg("text", {x: left + wide / 2, y: 362, "text-anchor": "middle"}, `${reads(state.metric)} (${sign > 0 ? "← " : ""}more even${sign > 0 ? "" : " →"})`),
    svg("text", {x: 14, y: top + tall / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${top + tall / 2})`}, `${reads(state.quality)} (higher is better)`));
  at("plot").replaceChildren(plot, html("p", {class: "soft"}, `Beaten in both by no other of their group: ${names}.`));
}

function fill(id, options) {
  at(id).replaceChildren(...options.map(([value, text]) => html("option", {value}, text)));
  at(id).value = state[id];
}
function show() {
  if (!pairs().some(pair => pair.name === state.pair)) state.pair = pairs()[0]?.name ?? "";
  fill("pair", pairs().map(pair => [pair.name, pair.name]));
  fill("metric", data.metrics.map(one => [one.name, `${reads(one.name)} ${one.better === "lower" ? "↓" : "↑"}`]));
  fill("category", [["", `all (${data.pairs.length} pairs)`], ...data.categories.map(name => [name, `${name} (${data.pairs.filter(pair => pair.category === name).length})`])]);
  fill("quality", data.quality.map(name => [name, reads(name)]));
  at("clock").value = state.clock;
  at("categories").hidden = !data.categories.length;
  stage();
  list();
  tradeoff();
}

for (const id of ["pair", "metric", "category", "quality", "clock"])
  at(id).addEventListener("change", () => { state[id] = at(id).value; show(); remember(); });
at("time").addEventListener("input", () => { pause(); seek(at("time").value / at("time").max); });
at("play").addEventListener("click", () => playing ? pause() : play());
function turn(by) {
  const names = pairs().map(pair => pair.name);
  if (!names.length) return;
  state.pair = names[(names.indexOf(state.pair) + by + names.length) % names.length];
  show();
  remember();
}
at("before").addEventListener("click", () => turn(-1));
at("after").addEventListener("click", () => turn(1));
at("link").addEventListener("click", async () => {
  remember();
  try {
    await navigator.clipboard.writeText(location.href);
    at("copied").textContent = "copied";
  } catch {
    at("copied").textContent = "copy it from the address bar";
  }
});
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tag = event.target.tagName, typing = tag === "SELECT";
  const step = +at("time").dataset.step;
  const acts = {
    " ": () => playing ? pause() : play(), n: () => turn(1), p: () => turn(-1),
    ArrowLeft: () => { pause(); seek(state.time - step); }, ArrowRight: () => { pause(); seek(state.time + step); },
    Home: () => { pause(); seek(0); }, End: () => { pause(); seek(1); },
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!(key in acts) || typing) return;
  if (key === " " && (["BUTTON", "SUMMARY", "A"].includes(tag) || event.target.type === "checkbox")) return;
  event.preventDefault();
  acts[key]();
});
addEventListener("resize", tradeoff);
addEventListener("hashchange", () => { pause(); restore(); show(); });

restore();
show();
