// Start, once the view is drawn.

const HIDDEN_MS = 30_000; // a hidden page closes its connection after this time

// What a form has done is said once, not again after a reload or to those who get the address.
if (query.has("done")) {
  query.delete("done");
  history.replaceState(history.state, "", `${location.pathname}?${query}`.replace(/\?$/, ""));
}

// The row that the reader has opened or closed keeps the focus.
const row = tabStorage.getItem("row");
if (row) {
  document.querySelector(`[data-delivery="${CSS.escape(row)}"] [data-open]`)?.focus();
  tabStorage.removeItem("row");
}

// On a phone, the line of tabs may end before the current one.
const tab = document.querySelector(".tabs [aria-current]");
const tabs = tab?.parentElement;
if (tabs) tabs.scrollLeft = tab.offsetLeft + tab.offsetWidth - tabs.offsetLeft - tabs.clientWidth;

// Only the page for signing in has this line.
document.querySelector("[data-no-cookies]")?.toggleAttribute("hidden", navigator.cookieEnabled);

function knowZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.cookie.includes(`zone_name=${zone}`)) return;
  document.cookie = `zone_name=${zone}; path=/; max-age=31536000; samesite=strict`;
  if (body.dataset.zone !== zone && body.dataset.zone !== "UTC") refresh();
}

// Browsers allow six connections to a server. So when a page is shown, the hidden ones in other tabs close theirs.
let others;
try {
  others = new BroadcastChannel("shown");
  others.onmessage = () => document.hidden && close();
} catch {} // a browser that stores nothing

let hiding;
function rest() {
  clearTimeout(hiding);
  if (document.hidden) {
    hiding = setTimeout(close, HIDDEN_MS);
  } else {
    others?.postMessage("");
    if (!stream && wasLive) {
      heardAt = steady(); // it was silent only because nobody looked
      setLive(false);
    }
    open();
  }
}

function start() {
  knowZone();
  observe();
  wasLive = document.hidden; // a page that was opened in the background is old when it is shown
  rest();
  setInterval(() => {
    tick();
    if (isDue()) refresh();
  }, 1000);
  document.addEventListener("visibilitychange", rest);
}

// The first frame is on the screen when the second one begins.
const soon = (act) => (document.hidden ? act() : requestAnimationFrame(act));
if (document.querySelector("[data-live]")) soon(() => soon(start));
