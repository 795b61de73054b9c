"use strict";
// What is shown to whom is decided by `arranged`; benchmarks/user_study/trials.py decides it by the same rule.
const data = JSON.parse(document.getElementById("data").textContent);
const PAUSE = 800; // milliseconds between two plays
const SIDES = ["left", "right"];
const $ = id => document.getElementById(id);
const videos = SIDES.map($);

let rater = "", shown = [], answers = [];
let plays = 0, watched = false, since = 0, timer = 0;

function scramble(text) {
  let mixed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) mixed = Math.imul(mixed ^ byte, 0x01000193);
  for (const [shift, factor] of [[16, 0x85ebca6b], [13, 0xc2b2ae35]])
    mixed = Math.imul(mixed ^ (mixed >>> shift), factor);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function arranged(name) {
  const drawn = (purpose, trial) => scramble(`${data.study}/${name}/${purpose}/${trial.id}`);
  return data.trials
    .map(trial => ({ trial, order: drawn("order", trial) }))
    .sort((a, b) => a.order - b.order || (a.trial.id < b.trial.id ? -1 : 1))
    .map(({ trial }) => {
      const [left, right] = drawn("side", trial) >>> 31 ? trial.clips.slice().reverse() : trial.clips;
      return { trial: trial.id, left, right, prompt: trial.prompt };
    });
}

// Saving

function asJson() {
  const { format, version, study } = data;
  return JSON.stringify({ format, version, study, rater, answers }, null, 1) + "\n";
}

function asCsv() {
  const names = ["trial", "left", "right", "choice", "plays", "seconds"];
  const rows = answers.map((answer, index) =>
    [data.study, rater, index + 1, ...names.map(name => answer[name])].join(","));
  return [["study", "rater", "number", ...names].join(","), ...rows, ""].join("\n");
}

function save(kind) {
  const type = { json: "application/json", csv: "text/csv" }[kind];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([kind === "json" ? asJson() : asCsv()], { type }));
  link.download = `answers-${data.study}-${rater}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const place = () => `spf-study/${data.study}/${rater}`;

function store() {
  try {
    localStorage.setItem(place(), JSON.stringify(answers));
  } catch {
    $("unsaved").hidden = false;
  }
}

// What an earlier visit stored, as far as it answers what is shown now.
function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(place())) ?? [];
    const fits = (answer, index) => ["trial", ...SIDES].every(x => answer[x] === shown[index][x])
      && SIDES.includes(answer.choice);
    const wrong = found.findIndex((answer, index) => !shown[index] || !fits(answer, index));
    return wrong < 0 ? found : found.slice(0, wrong);
  } catch {
    return [];
  }
}

// Trials

function show() {
  clearTimeout(timer);
  const done = answers.length, all = shown.length;
  $("intro").hidden = true;
  $("trial").hidden = done === all;
  $("end").hidden = done < all;
  $("saving").hidden = done === 0;
  if (done === all) {
    $("thanks").focus();
    return;
  }
  $("count").textContent = `Pair ${done + 1} of ${all}`;
  $("progress").max = all;
  $("progress").value = done;
  $("undo").hidden = done === 0;
  $("prompt").hidden = !shown[done].prompt;
  $("prompt").textContent = `The clips are to show: ${shown[done].prompt}`;
  [plays, watched, since] = [0, false, performance.now()];
  allow();
  for (const video of videos) video.src = `data:video/mp4;base64,${data.clips[shown[done][video.id]]}`;
  $("question").focus({ preventScroll: true });
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) $("hint").textContent = "Press Play again to play both.";
  else play();
}

function allow() {
  for (const side of SIDES) $(`choose-${side}`).disabled = !watched;
  $("hint").textContent = watched ? "" : "Watch both to the end first.";
}

function play() {
  clearTimeout(timer);
  for (const video of videos) {
    video.currentTime = 0;
    video.play().catch(error => {
      if (error.name === "NotAllowedError") $("hint").textContent = "Press Play again to play both.";
    });
  }
}

function ended() {
  if (!videos.every(video => video.ended)) return;
  plays += 1;
  watched = true;
  allow();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) timer = setTimeout(play, PAUSE);
}

function choose(side) {
  if (!watched || answers.length === shown.length) return;
  const { trial, left, right } = shown[answers.length];
  const seconds = Math.round(performance.now() - since) / 1000;
  answers.push({ trial, left, right, choice: side, plays, seconds });
  watched = false;
  store();
  show();
}

function undo() {
  answers.pop();
  store();
  show();
}

// Events

$("start").addEventListener("submit", event => {
  event.preventDefault();
  rater = $("rater").value;
  shown = arranged(rater);
  answers = stored();
  show();
});
for (const side of SIDES) $(`choose-${side}`).addEventListener("click", () => choose(side));
for (const video of videos) {
  video.addEventListener("ended", ended);
  video.addEventListener("error", () => { $("broken").hidden = !video.src; });
}
for (const button of document.querySelectorAll(".save"))
  button.addEventListener("click", () => save(button.dataset.kind));
$("replay").addEventListener("click", play);
$("undo").addEventListener("click", undo);
document.addEventListener("keydown", event => {
  if ($("trial").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "ArrowLeft") choose("left");
  else if (event.key === "ArrowRight") choose("right");
  else if (event.key === " " && event.target.tagName !== "BUTTON") play();
  else return;
  event.preventDefault();
});
