// Updates: the same view is loaded again, and what is inside an element replaces what is inside the element of the same
// key. Rows come and go only on request, or while the reader is not at the list.

const REFRESH_MS = 2_000; // between two updates
const EVERY_MS = 60_000; // an update at least this often
const AWAY_MS = 5_000; // the reader is not at a list when pointer and focus left it this long ago
const MOST_NEW = 1000; // new tasks that are counted, so that memory stays flat

let refreshing = false;
let refreshAt = steady() - REFRESH_MS; // when the last update began or ended
let refreshTimer;
let mayRenew; // says whether the next update may add and remove rows
let awayAt = steady(); // when the reader last looked at a list
const unseen = new Set(); // keys of new tasks that have no row yet
const query = new URLSearchParams(location.search);

// An answer as a document. XMLHttpRequest parses it, and runs no script in it.
function load(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.setRequestHeader("X-Update", "1"); // not requested by the reader, so a choice in the address sets no cookie
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

const KEPT = "video, audio, input:not([type=hidden]), textarea, [data-list]"; // an update does not change them

function patch(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(document.importNode(fresh, true));
  if (old.nodeType === Node.TEXT_NODE) return setText(old, fresh.data);
  if (old.nodeType !== Node.ELEMENT_NODE || old.matches(KEPT)) return;
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  const hasRows = old.matches("[data-rows]"); // each row keeps its element, and so its focus
  if (hasRows) renew(old, fresh);
  const [before, after] = [old, fresh].map((one) => [...(hasRows ? one.children : one.childNodes)]);
  after.forEach((child, place) => {
    if (before[place]) patch(before[place], child);
    else old.append(document.importNode(child, true));
  });
  before.slice(after.length).forEach((child) => child.remove());
}

// Put a list into the order of the server. Elements that stay are moved, not created again.
function renew(list, fresh) {
  if (!fresh) return;
  const own = new Map([...list.children].map((child) => [keyOf(child), child]));
  const wanted = [...fresh.children].map((child) => own.get(keyOf(child)) ?? document.importNode(child, true));
  [...list.children].forEach((child) => wanted.includes(child) || child.remove());
  wanted.forEach((child, place) => {
    const there = list.children[place];
    if (there !== child) list.insertBefore(child, there ?? null);
  });
  observe();
}

// What an update must have in common with the page. The sign-in page is another view; a newer version has other assets.
const madeAs = ({ body: { dataset }, documentElement: { lang } }) => `${dataset.view} ${lang} ${dataset.assets}`;

// Update what is on the page. If `mayRenew` says so, also add and remove rows.
async function refresh() {
  if (document.hidden) return document.addEventListener("visibilitychange", refresh, { once: true });
  if (refreshing) return scheduleRefresh();
  const wanted = mayRenew;
  const heard = [...unseen];
  refreshing = true;
  refreshAt = steady();
  mayRenew = undefined;
  try {
    const fresh = await load(location.href);
    const withRows = wanted?.();
    if (mustReload(fresh, withRows)) return location.reload();
    show(fresh, withRows);
    if (withRows) {
      heard.forEach((key) => unseen.delete(key));
      body.dataset.now = fresh.body.dataset.now;
    }
    showNew();
  } catch {
    mayRenew ??= wanted;
    scheduleRefresh(5 * REFRESH_MS);
  } finally {
    refreshing = false;
    refreshAt = steady();
    tick();
  }
}

// Whether only a new page can show this answer. Throws if that would disturb the reader now.
function mustReload(fresh, withRows) {
  const isOther = madeAs(fresh) !== madeAs(document);
  const wasEmpty = withRows && find("[data-list]", fresh).length > find("[data-list]").length;
  const hasTyped = wasEmpty && find("textarea").some((one) => one.value);
  if (isOther ? isInUse(body) || performance.now() < AWAY_MS : hasTyped) throw new Error("later");
  return isOther || wasEmpty;
}

function show(fresh, withRows) {
  const known = new Map(find(KEYED, fresh).map((element) => [keyOf(element), element]));
  if (withRows) {
    find("[data-list]").forEach((list) => renew(list, fresh.querySelector(`[data-list="${list.dataset.list}"]`)));
  }
  for (const element of find(KEYED)) {
    const same = known.get(keyOf(element));
    if (same && same.nodeName === element.nodeName && !isInUse(element)) patch(element, same);
  }
  document.title = fresh.title;
  body.dataset.needs = fresh.body.dataset.needs;
  body.dataset.zone = fresh.body.dataset.zone;
  document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
}

function scheduleRefresh(rest = REFRESH_MS) {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(refresh, Math.max(0, refreshAt + rest - steady()) + Math.random() * 300);
}

// Whether to tell the reader that a task is new. `isFull`: no more running tasks have a place on Now.
function isNews(task, isOn, isFull) {
  const shownAt = Date.parse(body.dataset.now);
  if (body.dataset.view === "now") {
    return LIVE.has(task.phase) ? !isOn && !isFull : Date.parse(task.ended_at) > shownAt && !isOn?.matches(".card");
  }
  const isAsked = (name, value) => !query.has(name) || query.getAll(name).some((one) => !one || one === value);
  const isPlain = !["after", "q", "label"].some((name) => query.get(name));
  return (
    body.dataset.view === "tasks" &&
    !isOn &&
    isPlain &&
    Date.parse(task.added_at) > shownAt &&
    isAsked("account", task.account) &&
    isAsked("phase", task.phase)
  );
}

function showNew() {
  const text = fill(texts.new, { n: number(unseen.size) + (unseen.size < MOST_NEW ? "" : "+") });
  for (const button of find("[data-new]")) {
    button.hidden = !unseen.size;
    setText(button.querySelector("span"), text);
  }
  // Read aloud once, not at each number.
  find("[data-said]").forEach((one) => setText(one, unseen.size ? one.textContent || text : ""));
}

function isReaderAway() {
  const isSelected = (list) => !getSelection().isCollapsed && getSelection().containsNode(list, true);
  const isReading = (list) => list.matches(":hover") || list.contains(document.activeElement) || isSelected(list);
  if (scrollY > 300 || find("[data-list]").some(isReading)) awayAt = steady();
  return steady() - awayAt >= AWAY_MS && !document.querySelector(".busy");
}

// Whether to update now, although nothing on the page has changed.
function isDue() {
  const isAway = isReaderAway();
  const age = steady() - refreshAt;
  if (!isAway || !unseen.size || age <= REFRESH_MS) return age > EVERY_MS;
  mayRenew ??= isReaderAway;
  return true;
}
