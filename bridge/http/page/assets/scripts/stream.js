// The stream of changes: shows at once what a change says, and requests an update for the rest.

const STREAM = `${body.dataset.base}/api/v1/changes`;
const RUNNING = 9; // rows on Now

let stream;
let retryTimer;
let isLive; // undefined: not known yet
let wasLive;
let heardAt = steady();
let asOf; // the server's time when it was heard
let openedAt = steady();

function open() {
  if (stream) return;
  openedAt = steady();
  stream = new EventSource(STREAM);
  stream.addEventListener("snapshot", (event) => {
    hear(event);
    if (wasLive) refresh(); // after a gap
    wasLive = true;
  });
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

function close() {
  clearTimeout(retryTimer);
  stream?.close();
  stream = undefined;
}

function reopen() {
  close();
  open();
}

function checkStream() {
  if (steady() - heardAt <= SILENT_MS) return;
  setLive(false);
  if (steady() - openedAt > SILENT_MS) reopen();
}

function hear(event) {
  const frame = JSON.parse(event.data);
  heardAt = steady();
  asOf = Date.parse(frame.now);
  ahead = asOf - Date.now();
  setLive(true);
  showCounts(frame.counts);
  return frame;
}

function setLive(live) {
  const line = document.querySelector("[data-live]");
  if (!line || (live && isLive)) return;
  isLive = live;
  const dot = document.querySelector(".live .dot");
  const banner = document.querySelector("[data-not-live]");
  line.querySelector(".as-of")?.remove();
  dot.hidden = false;
  dot.classList.toggle("off", !live);
  setText(document.querySelector("[data-words]"), live ? texts.live : texts.connecting);
  banner.hidden = live || !wasLive || steady() - heardAt <= SILENT_MS;
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: body.dataset.zone, timeStyle: "medium" });
  setText(banner.querySelector("span"), fill(texts.not_live, { time: clock.format(asOf ?? now()) }));
}

function showCounts(counts) {
  if (!counts) return;
  const flat = { ...counts, ...counts.watches };
  for (const one of find("[data-count]")) {
    const count = flat[one.dataset.count];
    if (count !== undefined) setText(one, number(count));
    if (count === 0) one.closest("dd")?.querySelector("small")?.remove(); // how long the oldest has waited
  }
  if (body.dataset.view !== "now") return;
  const n = body.dataset.needs;
  const needs = Number(n) && fill(n === "1" ? texts.title_need : texts.title_needs, { n });
  const running = fill(texts.title_running, { n: number(counts.live) });
  document.title = [needs, running, "genbridge"].filter(Boolean).join(" · ");
}

function showChanges(frame) {
  let mustRefresh = frame.more;
  const onPage = new Map(); // a frame has many tasks, most of them not on the page
  for (const one of find("[data-task]")) onPage.set(keyOf(one), [...(onPage.get(keyOf(one)) ?? []), one]);
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
  const was = element.dataset.phase;
  const bar = element.querySelector("svg.eta");
  if (bar && task.progress !== null) bar.dataset.progress = task.progress; // the band stays: it is the usual duration
  const due = element.querySelector("time[data-due]");
  if (due && task.next_poll_at) due.dateTime = task.next_poll_at;
  find("[data-polls]", element).forEach((polls) => setText(polls, number(task.polls)));
  if (was === undefined || was === task.phase) return false;
  element.dataset.phase = task.phase;
  const when = element.querySelector(".when");
  if (!bar || !when || LIVE.has(task.phase)) return true;
  when.dataset.done = task.phase;
  say(when, texts[task.phase] ?? task.phase, task.phase === "succeeded" ? "good" : "bad");
  element.classList.add("finished");
  element.querySelector(".meta > :last-child").hidden = true; // its age and its next poll
  return false;
}
