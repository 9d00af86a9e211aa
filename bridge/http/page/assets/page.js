// Live updates, keys and players of the status page. Every view is complete without this script.
// Elements have keys: data-task="ACCOUNT ID", data-delivery="EVENT ENDPOINT TARGET", data-part="NAME". An update changes
// what is inside an element of the same key. Rows come and go only on request, or while the reader is not at the list.

const SILENT_MS = 15_000; // the server sends something every 5 s
const [HIDDEN_MS, REFRESH_MS, EVERY_MS] = [30_000, 2_000, 60_000]; // browsers allow six connections to a server, so a hidden page closes its own
const AWAY_MS = 5_000; // the reader is not at a list when pointer and focus left it this long ago
const [RUNNING, MOST_NEW, LIVE] = [9, 1000, new Set(["submitted", "running"])]; // rows on Now; new results that are counted, so that memory stays flat; live phases

const texts = JSON.parse(document.getElementById("texts").textContent);
const [body, query] = [document.body, new URLSearchParams(location.search)];
const STREAM = `${body.dataset.base}/api/v1/changes`;
const find = (selector, within = document) => [...within.querySelectorAll(selector)];
const keyOf = (element) => element.dataset.task ?? element.dataset.delivery ?? element.dataset.part;
const KEYED = "[data-task], [data-delivery], [data-part]";

let ahead = Date.parse(body.dataset.now) - Date.now(); // how far the server's clock is ahead of the browser's
const now = () => Date.now() + ahead;
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const number = (value) => value.toLocaleString("en-US");

function duration(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1).replace(".0", "")} ${texts.s}`;
  const whole = Math.round(seconds);
  for (const [unit, size, below, small] of [["d", 86400, "h", 3600], ["h", 3600, "m", 60], ["m", 60, "s", 1]]) {
    if (whole < size) continue;
    const rest = Math.floor((whole % size) / small);
    return `${Math.floor(whole / size)} ${rest ? `${texts[unit]} ${rest} ${texts[below]}` : texts[unit === "m" ? "minutes" : unit]}`;
  }
  return `${whole} ${texts.s}`;
}

// A time more than a minute ago has no seconds: otherwise each row of a list would change every second.
function relative(at) {
  const age = (now() - at) / 1000;
  const span = duration(age >= 60 ? age - (age % 60) : Math.max(1, Math.round(Math.abs(age))));
  return Math.abs(age) < 0.95 ? texts.now : fill(age > 0 ? texts.ago : texts.in, { span });
}

// Rounded, so that the text does not change every second: to 5 s below a minute, to 30 s below ten minutes, else to minutes.
const stepped = (seconds, round, unit = seconds < 60 ? 5 : seconds < 600 ? 30 : 60) => Math.max(5, round(seconds / unit) * unit);

function expected(bar) {
  const { low, at, high, progress, held } = bar.dataset;
  if (held) return [texts.held, "care"];
  if (progress) return [`${Math.round(progress)} %`, "run"];
  if (!at) return [texts.unknown, "soft"];
  const [soon, late] = [low, high].map((instant) => (instant - now()) / 1000);
  const [from, to] = [duration(stepped(soon, Math.floor)), duration(stepped(late, Math.ceil))];
  if (late <= 0) return [texts.late, "care"];
  if (soon < 5) return [fill(texts.up_to, { high: to }), ""];
  return [from === to ? fill(texts.in, { span: from }) : fill(texts.range, { low: from, high: to }), ""];
}

function drawBar(bar) {
  const { added, low, at, high, progress, held } = bar.dataset;
  const part = (name, values) => {
    for (const [key, value] of Object.entries(values)) bar.querySelector(`.${name}`)?.setAttribute(key, `${value.toFixed(1)}%`);
  };
  if (!held && progress) return part("fill", { width: Number(progress) });
  if (held || !at) return;
  const span = (Math.max(high, now()) - added) / 94;
  part("fill", { width: (now() - added) / span });
  part("band", { x: (low - added) / span, width: (high - low) / span });
  part("mid", { x: (at - added) / span });
  bar.classList.toggle("late", now() > high);
}

// If no file of a box can be loaded, the box says so, with a link. (networkState is no help: a new video has no source yet.)
function showLost(box) {
  const files = find("img, video, audio", box);
  const isLost = (file) => file.error || (file.complete && !file.naturalWidth);
  if (files.length && files.every(isLost)) box.classList.add("broken");
}

function tick() {
  if (document.hidden) return;
  find(".pic:not(.broken), .pair:not(.broken)").forEach(showLost);
  if (Date.now() - heardAt > SILENT_MS) setLive(false), Date.now() - openedAt > SILENT_MS && reopen();
  if (!isLive) return; // countdowns stop, because they may be wrong
  for (const time of find("time[data-ago], time[data-due], time[data-age]")) {
    const [at, { due, age }] = [Date.parse(time.dateTime), time.dataset];
    if (age !== undefined) setText(time, duration(Math.max(1, Math.round((now() - at) / 1000))));
    else if (Math.abs(now() - at) < 86_400_000) setText(time, due !== undefined && at <= now() ? texts.now : relative(at));
  }
  for (const bar of find("svg.eta[data-added]")) {
    drawBar(bar);
    const when = bar.closest(KEYED)?.querySelector(".when");
    if (when && !when.dataset.done) say(when, ...expected(bar));
  }
}

const setText = (element, text) => element.textContent === text || (element.textContent = text);
const say = (when, phrase, tone) => (setText(when, phrase), (when.className = `when ${tone}`));

// An answer as a document. XMLHttpRequest parses it, and runs no script in it.
function load(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.setRequestHeader("X-Update", "1"); // the reader did not request this, so a choice in the address sets no cookie
    Object.assign(request, { responseType: "document", timeout: 10_000, onerror: reject, ontimeout: reject });
    const isOurs = () => request.status === 200 && request.response?.body?.dataset.view !== undefined;
    request.onload = () => (isOurs() ? resolve(request.response) : reject());
    request.send();
  });
}

// Whether an update would disturb the reader, who is typing, playing, selecting or opening something there.
function isInUse(element) {
  const chosen = getSelection();
  return (
    element.querySelector(":is(input, textarea, select):focus, details[open], dialog[open]") ||
    find("video, audio", element).some((player) => !player.paused) ||
    (chosen && !chosen.isCollapsed && chosen.containsNode(element, true))
  );
}

function patch(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(document.importNode(fresh, true));
  if (old.nodeType === Node.TEXT_NODE) return setText(old, fresh.data);
  if (old.nodeType !== Node.ELEMENT_NODE || old.matches("video, audio, input:not([type=hidden]), textarea, [data-list]")) return;
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  const hasRows = old.matches("[data-rows]"); // rows may be added and removed; each row keeps its element, and so its focus
  if (hasRows) renew(old, fresh);
  const [before, after] = [old, fresh].map((one) => [...(hasRows ? one.children : one.childNodes)]);
  after.forEach((child, place) => (before[place] ? patch(before[place], child) : old.append(document.importNode(child, true))));
  before.slice(after.length).forEach((child) => child.remove());
}

let [refreshing, refreshAt, refreshTimer, mayRenew] = [false, Date.now() - REFRESH_MS];

// What an update must have in common with the page. The sign-in page is another view; a newer version has other assets.
const madeAs = ({ body: { dataset }, documentElement: { lang } }) => `${dataset.view} ${lang} ${dataset.assets}`;

// Update what is on the page. If `mayRenew` says so, also add and remove rows.
async function refresh() {
  if (document.hidden) return document.addEventListener("visibilitychange", refresh, { once: true });
  if (refreshing) return scheduleRefresh();
  const [wanted, heard] = [mayRenew, [...unseen]];
  [refreshing, refreshAt, mayRenew] = [true, Date.now()];
  try {
    const fresh = await load(location.href);
    const lists = wanted?.();
    const isOther = madeAs(fresh) !== madeAs(document);
    const wasEmpty = lists && find("[data-list]", fresh).length > find("[data-list]").length;
    const hasTyped = wasEmpty && find("textarea").some((one) => one.value); // a new page would lose it
    if (isOther ? isInUse(body) || performance.now() < AWAY_MS : hasTyped) throw isOther;
    if (isOther || wasEmpty) return location.reload();
    const known = new Map(find(KEYED, fresh).map((element) => [keyOf(element), element]));
    if (lists) find("[data-list]").forEach((list) => renew(list, fresh.querySelector(`[data-list="${list.dataset.list}"]`)));
    for (const element of find(KEYED)) {
      const same = known.get(keyOf(element));
      if (same && same.nodeName === element.nodeName && !isInUse(element)) patch(element, same);
    }
    if (lists) heard.forEach((key) => unseen.delete(key)), (body.dataset.now = fresh.body.dataset.now);
    showNew();
    [document.title, body.dataset.needs, body.dataset.zone] = [fresh.title, fresh.body.dataset.needs, fresh.body.dataset.zone];
    document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
  } catch {
    mayRenew ??= wanted;
    scheduleRefresh(5 * REFRESH_MS);
  } finally {
    [refreshing, refreshAt] = [false, Date.now()];
    tick();
  }
}

function scheduleRefresh(rest = REFRESH_MS) {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(refresh, Math.max(0, refreshAt + rest - Date.now()) + Math.random() * 300);
}

// The list in the order of the server. Elements that stay are moved, not created again.
function renew(list, fresh) {
  if (!fresh) return;
  const own = new Map([...list.children].map((child) => [keyOf(child), child]));
  const wanted = [...fresh.children].map((child) => own.get(keyOf(child)) ?? document.importNode(child, true));
  [...list.children].forEach((child) => wanted.includes(child) || child.remove());
  wanted.forEach((child, place) => list.children[place] === child || list.insertBefore(child, list.children[place] ?? null));
  observe();
}

let awayAt = Date.now(); // when the reader last looked at a list
const unseen = new Set();

// Whether to tell the reader that a task is new. `isFull`: no more running tasks have a place on Now.
function isNews(task, isOn, isFull) {
  const shownAt = Date.parse(body.dataset.now);
  if (body.dataset.view === "now") {
    return LIVE.has(task.phase) ? !isOn && !isFull : Date.parse(task.ended_at) > shownAt && !isOn?.matches(".card");
  }
  const isAsked = (name, value) => !query.has(name) || query.getAll(name).some((one) => !one || one === value);
  const isPlain = !["after", "q", "label"].some((name) => query.get(name));
  return body.dataset.view === "tasks" && !isOn && isPlain && Date.parse(task.added_at) > shownAt
    && isAsked("account", task.account) && isAsked("phase", task.phase);
}

function showNew() {
  const text = fill(texts.new, { n: number(unseen.size) + (unseen.size < MOST_NEW ? "" : "+") });
  find("[data-new]").forEach((button) => ((button.hidden = !unseen.size), setText(button.querySelector("span"), text)));
  find("[data-said]").forEach((one) => setText(one, unseen.size ? one.textContent || text : "")); // read aloud once, not at each number
}

function isReaderAway() {
  const isSelected = (list) => !getSelection().isCollapsed && getSelection().containsNode(list, true);
  const isReading = (list) => list.matches(":hover") || list.contains(document.activeElement) || isSelected(list);
  if (scrollY > 300 || find("[data-list]").some(isReading)) awayAt = Date.now();
  return Date.now() - awayAt >= AWAY_MS && !document.querySelector(".busy");
}

function isDue() {
  const [isAway, age] = [isReaderAway(), Date.now() - refreshAt];
  return isAway && unseen.size && age > REFRESH_MS ? (mayRenew ??= isReaderAway) : age > EVERY_MS;
}

// Stream.
let [stream, retryTimer, isLive, wasLive] = [];
let [heardAt, openedAt] = [Date.now(), Date.now()];

function open() {
  if (stream) return;
  [stream, openedAt] = [new EventSource(STREAM), Date.now()];
  stream.addEventListener("snapshot", (event) => (hear(event), wasLive && refresh(), (wasLive = true))); // after a gap
  stream.addEventListener("changes", (event) => showChanges(hear(event)));
  stream.addEventListener("alive", hear);
  stream.onerror = () => {
    setLive(false);
    if (stream?.readyState !== EventSource.CLOSED) return; // else the browser tries again by itself
    close();
    retryTimer = setTimeout(open, 4000);
    scheduleRefresh(5 * REFRESH_MS); // somebody may have signed out
  };
}

const close = () => (clearTimeout(retryTimer), (stream = stream?.close())); // undefined
const reopen = () => (close(), open());

function hear(event) {
  const frame = JSON.parse(event.data);
  heardAt = Date.now();
  ahead = Date.parse(frame.now) - heardAt;
  setLive(true);
  showCounts(frame.counts);
  return frame;
}

function setLive(live) {
  const line = document.querySelector("[data-live]");
  if (!line || (live && isLive)) return;
  isLive = live;
  const [dot, words, banner] = [".live .dot", "[data-words]", "[data-not-live]"].map((one) => document.querySelector(one));
  line.querySelector(".as-of")?.remove(), (dot.hidden = false);
  dot.classList.toggle("off", !live);
  setText(words, live ? texts.live : texts.connecting);
  banner.hidden = live || !wasLive || Date.now() - heardAt <= SILENT_MS;
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: body.dataset.zone, timeStyle: "medium" });
  setText(banner.querySelector("span"), fill(texts.not_live, { time: clock.format(heardAt + ahead) }));
}

function showCounts(counts) {
  if (!counts) return;
  const flat = { ...counts, ...counts.watches };
  find("[data-count]").forEach((one) => one.dataset.count in flat && setText(one, number(flat[one.dataset.count])));
  const needs = Number(body.dataset.needs) && fill(body.dataset.needs === "1" ? texts.title_need : texts.title_needs, { n: body.dataset.needs });
  const running = fill(texts.title_running, { n: number(counts.live) });
  if (body.dataset.view === "now") document.title = [needs, running, "genbridge"].filter(Boolean).join(" · ");
}

function showChanges(frame) {
  let mustRefresh = frame.more;
  const onPage = Map.groupBy(find("[data-task]"), keyOf); // a frame has many tasks, most of them not on the page
  const isFull = document.querySelector("[data-list=running]")?.children.length >= RUNNING;
  for (const task of frame.tasks) {
    const key = `${task.account} ${task.id}`;
    const shown = onPage.get(key) ?? [];
    for (const element of shown) mustRefresh = showTask(element, task) || mustRefresh;
    if (unseen.size < MOST_NEW && isNews(task, shown.at(-1), isFull)) unseen.add(key);
  }
  for (const one of frame.deliveries) {
    const isOn = document.querySelector(`[data-delivery^="${CSS.escape(`${one.event_id} ${one.endpoint}`)}"]`);
    mustRefresh ||= isOn || onPage.has(`${one.account} ${one.id}`);
  }
  showNew();
  if (mustRefresh) scheduleRefresh();
  else if (frame.counts) scheduleRefresh(5 * REFRESH_MS);
}

// A row that finishes stays where it is until the list is loaded again. Returns whether to request the rest.
function showTask(element, task) {
  const [was, bar] = [element.dataset.phase, element.querySelector("svg.eta")];
  if (bar && task.progress !== null) bar.dataset.progress = task.progress; // the band shows the usual duration, so it stays
  const due = element.querySelector("time[data-due]");
  if (due && task.next_poll_at) due.dateTime = task.next_poll_at;
  find("[data-polls]", element).forEach((polls) => setText(polls, number(task.polls)));
  if (was === undefined || was === task.phase) return false;
  element.dataset.phase = task.phase;
  const when = element.querySelector(".when");
  if (bar && when && !LIVE.has(task.phase)) {
    when.dataset.done = task.phase;
    say(when, texts[task.phase] ?? task.phase, task.phase === "succeeded" ? "good" : "bad");
    element.classList.add("finished"), (element.querySelector(".meta > :last-child").hidden = true); // its age and next poll
    return false;
  }
  return true;
}

// Players, copying and keys.
const visible = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) isIntersecting ? visible.add(target) : visible.delete(target);
  [...visible].forEach((video, place) => { if (place < 6 && video.preload === "none") video.preload = "metadata"; });
});
const observe = () => find("video").forEach((video) => watcher.observe(video));

// Without TLS, a page of another machine has no clipboard.
async function copyText(text, button) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
  area.select(), document.execCommand("copy"), area.remove(), button.focus();
}

document.addEventListener("click", async (event) => {
  const copier = event.target.closest("[data-copy]");
  if (copier) {
    const { copy } = copier.dataset; // a provider's URL is copied unchanged, because it may be signed
    await copyText(copy.startsWith("/") ? location.origin + copy : copy, copier);
    setTimeout(setText, 1500, copier, copier.textContent);
    setText(copier, texts.copied);
  }
  if (event.target.closest("[data-new]")) (mayRenew = () => true), refresh();
  if (event.target.closest("[data-keys]")) showKeys();
  const toggled = event.target.closest("[data-open]")?.closest(KEYED);
  if (toggled) sessionStorage.setItem("row", keyOf(toggled));
  if (event.target.closest("[data-retry]")) reopen();
});

const [dialog, keysOn] = ["keys", "keys-on"].map((id) => document.getElementById(id));
const areKeysOn = () => localStorage.getItem("keys") !== "off";
const showKeys = () => dialog.open || dialog.showModal();
const current = () => document.activeElement?.closest("[data-list] > *");

function step(by) {
  const all = find("[data-list] > *").filter((item) => item.querySelector("a"));
  const place = all.indexOf(current());
  all[Math.min(Math.max(place < 0 ? 0 : place + by, 0), all.length - 1)]?.querySelector("a").focus();
}

const askFirst = (one) => (one.href || confirm(`${one.textContent}?`)) && one.click(); // a link leads to a question
const viewOf = (key) => find("nav [data-key]").find((one) => one.dataset.key === key); // after `g`
let goUntil = 0;
const KEYS = {
  "/": () => document.querySelector("input[type=search]")?.focus(),
  j: () => step(1), k: () => step(-1),
  o: () => current()?.querySelector("[data-open]")?.click(),
  p: () => find("video, audio", current() ?? document).slice(0, 1).forEach((one) => one.paused ? one.play() : one.pause()),
  n: () => document.querySelector("[data-new]:not([hidden])")?.click(),
  r: () => find("[data-redeliver]", current() ?? document).slice(0, 1).forEach(askFirst),
  g: () => (goUntil = Date.now() + 1500),
  "?": showKeys,
  Escape: () => find("details[open] > summary, [aria-expanded=true]").slice(0, 1).forEach((one) => (one.focus(), one.click())),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !areKeysOn()) return;
  const isTyping = event.target.closest("input, textarea, select, dialog, video, audio");
  if (isTyping) return event.key === "Escape" && (event.target.closest("details") ? KEYS.Escape() : event.target.blur());
  const view = goUntil > Date.now() && viewOf(event.key);
  const use = view ? () => view.click() : KEYS[event.key];
  if (event.key !== "g") goUntil = 0;
  if (use) event.preventDefault(), use();
});

keysOn.checked = areKeysOn();
keysOn.addEventListener("change", () => localStorage.setItem("keys", keysOn.checked ? "on" : "off"));

// Start. The row that the reader has opened or closed keeps the focus.
const row = sessionStorage.getItem("row");
if (row) document.querySelector(`[data-delivery="${CSS.escape(row)}"] [data-open]`)?.focus(), sessionStorage.removeItem("row");

function knowZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.cookie.includes(`zone_name=${zone}`)) return;
  document.cookie = `zone_name=${zone}; path=/; max-age=31536000; samesite=strict`;
  if (body.dataset.zone !== zone && body.dataset.zone !== "UTC") refresh();
}

let hiding;
const rest = () => (clearTimeout(hiding), document.hidden ? (hiding = setTimeout(close, HIDDEN_MS)) : open());

function start() {
  for (const step of [knowZone, observe, open, rest]) step();
  setInterval(() => (tick(), isDue() && refresh()), 1000);
  document.addEventListener("visibilitychange", rest);
}

// The view is drawn before this: the first frame is on the screen when the second one begins.
const soon = (step) => document.hidden ? step() : requestAnimationFrame(step);
if (document.querySelector("[data-live]")) soon(() => soon(start));
