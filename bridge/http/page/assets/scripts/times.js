// Times on the page, the bars of running tasks, and what every part of the script uses.
//
// The script updates the views live, and adds keys and players. Every view is complete without it. Its files are sent
// as one. Elements have keys: data-task="ACCOUNT ID", data-delivery="EVENT ENDPOINT TARGET", data-part="NAME".

const SILENT_MS = 15_000; // the server sends something every 5 s
const LIVE = new Set(["submitted", "running"]); // phases
const KEYED = "[data-task], [data-delivery], [data-part]";

const texts = JSON.parse(document.getElementById("texts").textContent);
const body = document.body;
const find = (selector, within = document) => [...within.querySelectorAll(selector)];
const keyOf = (element) => element.dataset.task ?? element.dataset.delivery ?? element.dataset.part;
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const number = (value) => value.toLocaleString("en-US");

let ahead = Date.parse(body.dataset.now) - Date.now(); // how far the server's clock is ahead of the browser's
const now = () => Date.now() + ahead;

// Milliseconds that never go back, although somebody may correct the browser's clock.
let setBack = 0;
let lastAt = 0;
function steady() {
  const at = Date.now();
  setBack += Math.max(0, lastAt - at);
  lastAt = at;
  return at + setBack;
}

// Storage of the browser. One that stores nothing for this site throws an error, and then this page remembers.
function storage(name) {
  try {
    if (window[name]) return window[name];
  } catch {}
  const kept = new Map();
  const [getItem, setItem, removeItem] = ["get", "set", "delete"].map((method) => kept[method].bind(kept));
  return { getItem, setItem, removeItem };
}
const tabStorage = storage("sessionStorage");
const siteStorage = storage("localStorage");

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function say(when, phrase, tone) {
  setText(when, phrase);
  when.className = `when ${tone}`;
}

const UNITS = [
  ["d", 86400, "h", 3600],
  ["h", 3600, "m", 60],
  ["m", 60, "s", 1],
];

function duration(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1).replace(".0", "")} ${texts.s}`;
  const whole = Math.round(seconds);
  for (const [unit, size, below, small] of UNITS) {
    if (whole < size) continue;
    const count = Math.floor(whole / size);
    const rest = Math.floor((whole % size) / small);
    if (rest) return `${count} ${texts[unit]} ${rest} ${texts[below]}`;
    return `${count} ${texts[unit === "m" ? "minutes" : unit]}`;
  }
  return `${whole} ${texts.s}`;
}

// A time more than a minute ago has no seconds: otherwise each row of a list would change every second.
function relative(at) {
  const age = (now() - at) / 1000;
  const span = duration(age >= 60 ? age - (age % 60) : Math.max(1, Math.round(Math.abs(age))));
  return Math.abs(age) < 0.95 ? texts.now : fill(age > 0 ? texts.ago : texts.in, { span });
}

// Rounded, so that the text does not change every second: below a minute to 5 s, below ten minutes to 30 s.
function stepped(seconds, round) {
  const unit = seconds < 60 ? 5 : seconds < 600 ? 30 : 60;
  return Math.max(5, round(seconds / unit) * unit);
}

// When the task of this bar should finish, and the tone of that text.
function expected(bar) {
  const { low, at, high, progress, held } = bar.dataset;
  if (held) return [texts.held, "care"];
  if (progress) return [`${Math.round(progress)} %`, "run"];
  if (!at) return [texts.unknown, "soft"];
  const [soon, late] = [low, high].map((instant) => (instant - now()) / 1000);
  if (late <= 0) return [texts.late, "care"];
  const from = duration(stepped(soon, Math.floor));
  const to = duration(stepped(late, Math.ceil));
  if (soon < 5) return [fill(texts.up_to, { high: to }), ""];
  return [from === to ? fill(texts.in, { span: from }) : fill(texts.range, { low: from, high: to }), ""];
}

function drawBar(bar) {
  const { added, low, at, high, progress, held } = bar.dataset;
  const draw = (name, lengths) => {
    for (const [key, value] of Object.entries(lengths)) {
      bar.querySelector(`.${name}`)?.setAttribute(key, `${value.toFixed(1)}%`);
    }
  };
  if (!held && progress) return draw("fill", { width: Number(progress) });
  if (held || !at) return;
  const span = (Math.max(high, now()) - added) / 94;
  draw("fill", { width: (now() - added) / span });
  draw("band", { x: (low - added) / span, width: (high - low) / span });
  draw("mid", { x: (at - added) / span });
  bar.classList.toggle("late", now() > high);
}

function showTime(time) {
  const at = Date.parse(time.dateTime);
  const { due, age } = time.dataset;
  if (age !== undefined) {
    setText(time, duration(Math.max(1, Math.round((now() - at) / 1000))));
  } else if (Math.abs(now() - at) < 86_400_000) {
    setText(time, due !== undefined && at <= now() ? texts.now : relative(at));
  }
}

// If no file of a box can be loaded, the box says so, with a link. (networkState is no help: a new video has no
// source.)
function showLost(box) {
  const files = find("img, video, audio", box);
  const isLost = (file) => file.error || (file.complete && !file.naturalWidth);
  if (files.length && files.every(isLost)) box.classList.add("broken");
}

// Every second.
function tick() {
  if (document.hidden) return;
  find(".pic:not(.broken), .pair:not(.broken)").forEach(showLost);
  checkStream();
  if (!isLive) return; // countdowns stop, because they may be wrong
  find("time[data-ago], time[data-due], time[data-age]").forEach(showTime);
  for (const bar of find("svg.eta[data-added]")) {
    drawBar(bar);
    const when = bar.closest(KEYED)?.querySelector(".when");
    if (when && !when.dataset.done) say(when, ...expected(bar));
  }
}
