"""What pages cost that are open for an hour while five tasks finish each second. The store has 100,000 tasks that have
finished in the last 20 days.

Each view is open in a tab of its own. CPU is that of the thread that runs the page's script. Memory of a page is its
JavaScript heap after garbage collection.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Final

from playwright.sync_api import Browser, CDPSession, Page

from benchmarks.browser import CHROMIUM, DESK, chromium, metrics
from benchmarks.daemon import daemon, fill, settle
from benchmarks.http import free_port
from benchmarks.page import DAYS, EVERY_MS, LEFT_OPEN, spread_over, until_it_answers
from benchmarks.processes import Measured, server, until
from benchmarks.tables import Report, Table

BATCH_S: Final = 10.0  # tasks are added this often, and finish in the 10 seconds that begin ...
LEAD_S: Final = 25.0  # ... this long after they are added; in a quick run at once
RUNNING: Final = 300  # tasks that do not finish
COUNTS: Final = ("Nodes", "JSEventListeners")


def run(quick: bool) -> Report:
    finished, minutes, minute_s = (300, 2, 2.0) if quick else (100_000, 60, 60.0)
    if CHROMIUM is None:
        return Report(title="Pages left open", how=__doc__, tables=[], notes=["skipped: no Chromium is installed"])
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch,
        server("provider") as provider,
        server("receiver") as receiver,
    ):
        folder, http = Path(scratch), {"listen": f"127.0.0.1:{free_port()}"}
        settings = settle(folder, provider=provider.url, receiver=receiver.url, interval="5s", http=http)
        fill(folder, (f"e{int(time.time() * 1000) - 60_000}-{place}" for place in range(finished)))
        with daemon(settings):
            until(lambda: bool(receiver.ask("count") >= finished), seconds=400)
            time.sleep(2)  # wait until the outcomes of the last deliveries are stored
        spread_over(folder / "state.db", DAYS * 86_400 / finished)
        fill(folder, (f"g{10**12}-{place}" for place in range(RUNNING)))
        with daemon(settings) as measured, _finishing(folder, 0.0 if quick else LEAD_S), chromium() as browser:
            until_it_answers(http["listen"])
            time.sleep(LEAD_S + BATCH_S if not quick else 0)
            rows = _watched(browser, f"http://{http['listen']}", measured, minutes, minute_s)
        told = receiver.ask("count") - finished
    head = ("view", "minute", "CPU", "heap", *COUNTS, "elements", "RSS of the daemon")
    notes = [f"{told:,} tasks have finished meanwhile", "target: flat; at most 1 % of a core"]
    return Report(title="Pages left open", how=__doc__, tables=[Table(head=head, rows=rows)], notes=notes)


@contextmanager
def _finishing(folder: Path, lead_s: float) -> Iterator[None]:
    """Let tasks finish until the block ends."""
    stop = Event()

    def work() -> None:
        size, place, due_at = round(BATCH_S * 1000 / EVERY_MS), 0, time.monotonic()
        while not stop.is_set():
            first_ms = int((time.time() + lead_s) * 1000)
            fill(folder, [f"e{first_ms + number * EVERY_MS}-n{place + number}" for number in range(size)])
            place, due_at = place + size, due_at + BATCH_S
            stop.wait(max(0.0, due_at - time.monotonic()))

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watched(browser: Browser, url: str, daemon: Measured, minutes: int, minute_s: float) -> list[list[str]]:
    tabs = {view: _opened(browser, url + view) for view in LEFT_OPEN}
    some = next(iter(tabs.values()))[0]
    some.wait_for_timeout(minute_s / 4 * 1000)  # the first seconds of a page are not counted
    shown = {1, *(minutes * part // 4 for part in (1, 2, 3)), minutes} - {0}
    busy_s = {view: metrics(session)["TaskDuration"] for view, (_, session) in tabs.items()}
    rows: list[list[str]] = []
    for minute in range(1, minutes + 1):
        some.wait_for_timeout(minute_s * 1000)
        for view, (page, session) in tabs.items():
            cpu = (metrics(session)["TaskDuration"] - busy_s[view]) / minute_s
            session.send("HeapProfiler.collectGarbage")
            found = metrics(session)
            busy_s[view] = found["TaskDuration"]
            if minute in shown:
                counts = [f"{found[name]:.0f}" for name in COUNTS]
                elements = str(page.evaluate("document.querySelectorAll('*').length"))
                heap = f"{found['JSHeapUsedSize'] / 1e6:.2f} MB"
                rss = f"{daemon.rss_mb():.0f} MB"
                rows.append([view, str(minute), f"{cpu * 100:.2f} %", heap, *counts, elements, rss])
    return sorted(rows, key=lambda row: LEFT_OPEN.index(row[0]))


def _opened(browser: Browser, address: str) -> tuple[Page, CDPSession]:
    page = browser.new_context(viewport=DESK).new_page()
    page.goto(address)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    return page, session
