// What the reader does: players, copying, keys.

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

// Without TLS, a page of another machine has no clipboard.
async function copyText(text, button) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
  area.select();
  document.execCommand("copy");
  area.remove();
  button.focus();
}

document.addEventListener("click", async (event) => {
  const copier = event.target.closest("[data-copy]");
  if (copier) {
    const { copy } = copier.dataset; // a provider's URL is copied unchanged, because it may be signed
    await copyText(copy.startsWith("/") ? location.origin + copy : copy, copier);
    setTimeout(setText, 1500, copier, copier.textContent);
    setText(copier, texts.copied);
  }
  if (event.target.closest("[data-new]")) {
    mayRenew = () => true;
    refresh();
  }
  if (event.target.closest("[data-keys]")) showKeys();
  const toggled = event.target.closest("[data-open]")?.closest(KEYED);
  if (toggled) sessionStorage.setItem("row", keyOf(toggled));
  if (event.target.closest("[data-retry]")) reopen();
});

const dialog = document.getElementById("keys");
const keysOn = document.getElementById("keys-on");
const areKeysOn = () => localStorage.getItem("keys") !== "off";
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
  g: () => (goUntil = Date.now() + 1500),
  "?": showKeys,
  Escape: fold,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !areKeysOn()) return;
  if (event.target.closest("input, textarea, select, dialog, video, audio")) {
    if (event.key !== "Escape") return;
    if (event.target.closest("details")) fold();
    else event.target.blur();
    return;
  }
  const view = goUntil > Date.now() && viewOf(event.key);
  const use = view ? () => view.click() : KEYS[event.key];
  if (event.key !== "g") goUntil = 0;
  if (!use) return;
  event.preventDefault();
  use();
});

keysOn.checked = areKeysOn();
keysOn.addEventListener("change", () => localStorage.setItem("keys", keysOn.checked ? "on" : "off"));
