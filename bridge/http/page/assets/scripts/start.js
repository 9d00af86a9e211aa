// Start, once the view is drawn.

const HIDDEN_MS = 30_000; // browsers allow six connections to a server, so a hidden page closes its own

// The row that the reader has opened or closed keeps the focus.
const row = sessionStorage.getItem("row");
if (row) {
  document.querySelector(`[data-delivery="${CSS.escape(row)}"] [data-open]`)?.focus();
  sessionStorage.removeItem("row");
}

function knowZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.cookie.includes(`zone_name=${zone}`)) return;
  document.cookie = `zone_name=${zone}; path=/; max-age=31536000; samesite=strict`;
  if (body.dataset.zone !== zone && body.dataset.zone !== "UTC") refresh();
}

let hiding;
function rest() {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(close, HIDDEN_MS);
  else open();
}

function start() {
  knowZone();
  observe();
  open();
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
