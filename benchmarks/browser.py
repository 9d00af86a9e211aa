"""What a view costs in a real Chromium: when it is drawn on a slow phone, how much it shifts, and what it costs to keep
it open.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, CDPSession, Page, ViewportSize, sync_playwright

from benchmarks.tables import Table, number, percentile

# The headless shell starts faster: the start of the desktop browser would be up to half of each measured time.
CHROMIUM: Final = shutil.which("chromium-headless-shell") or shutil.which("chromium")
SLOWER: Final = 4  # how many times slower the processor of a slow phone is
PHONE: Final = ViewportSize(width=390, height=844)
DESK: Final = ViewportSize(width=1360, height=900)
SETTLED_MS: Final = 1500  # after this time, nothing in a view moves by itself
BEGINNING_S: Final = 10.0  # not measured: the dot is animated, and the time zone is stored
MARKS: Final = """() => new Promise((resolve) => {
  const found = { shift: 0, largest: 0, elements: document.querySelectorAll("*").length };
  new PerformanceObserver((list) => list.getEntries().forEach((one) => (found.shift += one.value)))
    .observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver((list) => list.getEntries().forEach((one) => (found.largest = one.startTime)))
    .observe({ type: "largest-contentful-paint", buffered: true });
  const [first] = performance.getEntriesByName("first-contentful-paint");
  const [page] = performance.getEntriesByType("navigation");
  Object.assign(found, { first: first?.startTime ?? 0, answered: page.responseStart });
  setTimeout(resolve, 100, found);
})"""
WORK: Final = {  # parts of the work of the page's thread
    "TaskDuration": "all",
    "ScriptDuration": "script",
    "LayoutDuration": "layout",
    "RecalcStyleDuration": "style",
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that sends requests only to the daemon."""
    quiet = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*quiet, "--disable-sync", "--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def drawn(browser: Browser, url: str, views: Sequence[str], *, rounds: int) -> Table:
    """When each view is drawn on a slow phone that has never seen it, and how much it shifts."""
    rows = []
    for view in views:
        seen = [_seen(browser, url + view) for _ in range(rounds)]
        middle = {key: percentile([one[key] for one in seen], 0.5) for key in seen[0]}
        shift = max(one["shift"] for one in seen)
        times = [f"{number(middle[key])} ms" for key in ("answered", "first", "largest")]
        rows.append([view.partition("?id")[0].partition("&id")[0], *times, number(shift), f"{middle['elements']:.0f}"])
    head = (f"on a phone {SLOWER}x slower", "first byte", "first drawn", "largest drawn", "layout shift", "elements")
    return Table(head=head, rows=rows)


def _seen(browser: Browser, address: str) -> dict[str, float]:
    context = browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True, device_scale_factor=2)
    try:
        page = context.new_page()
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        page.goto(address)
        page.wait_for_timeout(SETTLED_MS)
        found: dict[str, float] = page.evaluate(MARKS)
        return found
    finally:
        context.close()


def kept_open(browser: Browser, url: str, views: Sequence[str], *, seconds: float, beginning_s: float) -> Table:
    """How much of a core each view takes while it is open, in the thread that runs its script."""
    rows = []
    for view in views:
        context = browser.new_context(viewport=DESK)
        page = context.new_page()
        page.goto(url + view)
        page.wait_for_timeout(beginning_s * 1000)
        rows.append([view, *_work(context.new_cdp_session(page), page, seconds)])
        context.close()
    return Table(head=("open, of a core", *WORK.values(), "elements"), rows=rows)


def _work(session: CDPSession, page: Page, seconds: float) -> list[str]:
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before, begun_at = metrics(session), time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    after = metrics(session)
    took_s = time.monotonic() - begun_at
    shares = [(after[name] - before[name]) / took_s for name in WORK]
    return [*(f"{share * 100:.2f} %" for share in shares), str(page.evaluate("document.querySelectorAll('*').length"))]


def metrics(session: CDPSession) -> dict[str, float]:
    """What Chromium has measured about a page since it was opened, by name; durations are in seconds."""
    found: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
    return {one["name"]: one["value"] for one in found}
