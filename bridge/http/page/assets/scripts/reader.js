// What the reader does: players, copying, forms, keys.

const SENDING_MS = 10_000; // a form that was sent is not sent again for this long

const visible = new Set(); // videos
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target);
    else visible.delete(target);
  }
  for (const video of [...visible].slice(0, 6)) {
    if (video.preload === "none") video.preload = "metadata";
  }
});
const observe = () => find("video").forEach((video) => watcher.observe(video));

// Returns whether the text is in the clipboard. Without TLS, a page of another machine has none, and the browser may
// refuse it.
async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    button.focus();
    return isCopied;
  }
}

document.addEventListener("click", async (event) => {
  const copier = event.target.closest("[data-copy]");
  if (copier) {
    const { copy } = copier.dataset; // a provider's URL is copied unchanged, because it may be signed
    const label = (copier.dataset.label ??= copier.textContent);
    const isCopied = await copyText(copy.startsWith("/") ? location.origin + copy : copy, copier);
    setText(copier, isCopied ? texts.copied : texts.not_copied);
    setTimeout(setText, 1500, copier, label);
  }
  if (event.target.closest("[data-new]")) {
    mayRenew = () => true;
    refresh();
  }
  if (event.target.closest("[data-keys]")) showKeys();
  const toggled = event.target.closest("[data-open]")?.closest(KEYED);
  if (toggled) tabStorage.setItem("row", keyOf(toggled));
  if (event.target.closest("[data-retry]")) reopen();
});

// Who clicks twice sends a form once. The server would answer the second one with a page that says so.
let sent; // the button
let sentUntil = 0;
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (sent === event.submitter && sentUntil > steady()) return event.preventDefault();
  sent = event.submitter;
  sentUntil = steady() + SENDING_MS;
});
window.addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return; // else the reader came back with the Back button
  sentUntil = 0;
  if (stream) reopen();
});

const dialog = document.getElementById("keys");
const keysOn = document.getElementById("keys-on");
const areKeysOn = () => siteStorage.getItem("keys") !== "off";
const showKeys = () => dialog.open || dialog.showModal();

const current = () => document.activeElement?.closest("[data-list] > *");
const within = (selector) => find(selector, current() ?? document)[0];

function step(by) {
  const all = find("[data-list] > *").filter((item) => item.querySelector("a"));
  const place = all.indexOf(current());
  all[Math.min(Math.max(place < 0 ? 0 : place + by, 0), all.length - 1)]?.querySelector("a").focus();
}

function play() {
  const player = within("video, audio");
  if (player?.paused) player.play();
  else player?.pause();
}

function redeliver() {
  const one = within("[data-redeliver]");
  if (one && (one.href || confirm(`${one.textContent}?`))) one.click(); // a link leads to a question
}

function fold() {
  const opened = find("details[open] > summary, [aria-expanded=true]")[0];
  opened?.focus();
  opened?.click();
}

const viewOf = (key) => find("nav [data-key]").find((one) => one.dataset.key === key); // after `g`
let goUntil = 0;
const KEYS = {
  "/": () => document.querySelector("input[type=search]")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  o: () => current()?.querySelector("[data-open]")?.click(),
  p: play,
  n: () => document.querySelector("[data-new]:not([hidden])")?.click(),
  r: redeliver,
  g: () => (goUntil = steady() + 1500),
  "?": showKeys,
  Escape: fold,
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") sentUntil = 0; // it also stops a form that is being sent
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !areKeysOn()) return;
  if (event.target.closest("input, textarea, select, dialog, video, audio")) {
    if (event.key !== "Escape") return;
    if (event.target.closest("details")) fold();
    else event.target.blur();
    return;
  }
  const view = goUntil > steady() && viewOf(event.key);
  const use = view ? () => view.click() : KEYS[event.key];
  if (event.key !== "g") goUntil = 0;
  if (!use) return;
  event.preventDefault();
  use();
});

keysOn.checked = areKeysOn();
keysOn.addEventListener("change", () => siteStorage.setItem("keys", keysOn.checked ? "on" : "off"));
