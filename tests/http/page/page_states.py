"""Fills stores for sites that stay in one state: no problem, many problems, many finishes, or hostile texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from bridge.domain.change import AccountChange
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.pause import PauseOf
from bridge.domain.task import Phase
from bridge.http.access import Right
from bridge.http.page.page_routes import VIEWS
from tests.factories import make_wish
from tests.http.page.now_store import CDN, ELSEWHERE, Filler
from tests.store.making import Teller, make_attempt, make_deferred

ATTACK: Final = '<script>window.attacked=1</script><img src=x onerror="window.attacked=1">\'"&amp;'
TURNED: Final = "photo\u202egpj.exe \u0007 \x1b[31m"
ENDLESS: Final = "W" * 10_000
ARABIC: Final = "ال" * 200
HOSTILE: Final = (ATTACK, TURNED, ENDLESS[:480], ARABIC[:400], "灯塔日出" * 100, "{{ 7 * 7 }} ${7*7} %s")
HOSTILE_URLS: Final = (
    "javascript:window.attacked=1",
    "data:text/html,<script>window.attacked=1</script>",
    'https://evil.example/"onload=alert(1)//',
    f"https://evil.example/{ENDLESS[:3000]}.mp4",
    "//evil.example/x.mp4",
    "https://user:secret@evil.example/x.mp4",
)
WITH_PARAMETERS: Final = {
    "/task": "/task?account=kling&id=dead0",
    "/redeliver": "/redeliver?state=dead&endpoint=automation&back=/",
}
ADDRESSES: Final = [WITH_PARAMETERS.get(view.path, view.path) for view in VIEWS if view.right is not Right.OPEN]
"""The address of each view, in a store that `needs` has filled."""
SHOWN: Final = {"videos": [{"url": f"{CDN}/v.mp4", "duration": "5.1"}]}


def well(store: Filler) -> None:
    """Running and finished tasks without problems. No delivery has failed."""
    store.takes(20, 60)
    store.running("soon", age=25, label="Street musician, wide shot")
    store.running("progress", age=30, label="Four seasons garden", progress=64.0)
    store.running("late", age=500, label="Slow jazz for rain", progress=None)
    store.running("new", age=1)
    _finished(store)


def needs(store: Filler) -> None:
    """One of each problem that needs a person, and paused accounts and endpoints."""
    well(store)
    for number in range(3):
        store.finished(
            f"dead{number}",
            {"videos": [{"url": f"{ELSEWHERE}/{number}.mp4"}]},
            label=f"Desert rover {number}",
            age=600 + number,
            states={"automation": DeliveryState.DEAD, "hook": DeliveryState.ACCEPTED},
        )
    for number in range(2):
        store.finished(f"held{number}", label=f"Paper boats {number}", states={"crm": DeliveryState.WAITING})
    _disable(store, "crm")
    waiting = {"url": f"{ELSEWHERE}/soon.mp4"}
    store.finished("expires", {"videos": [waiting]}, expires_in=240, states={"hook": DeliveryState.WAITING})
    for delivery in store.store.due("hook", "", now=store.now + 1e6, limit=1)[0]:
        store.store.commit([make_deferred(delivery, next_attempt_at=store.now + 600, at=store.now)], Teller())
    wishes = [make_wish(account="runway", task_id=f"blocked{number}", label="Clay robot walks") for number in range(3)]
    wishes.append(make_wish(account="suno", task_id="paused", label="Rainy city"))
    store.store.add(wishes, source="cli", now=store.now - 90)
    change = AccountChange(
        account="runway",
        blocked=True,
        reason="HTTP 402: not enough credits",
        count=1,
        blocked_s=0.0,
        at=store.now - 60,
    )
    store.store.commit([change], Teller())
    store.store.pause(PauseOf.ACCOUNT, "suno", now=store.now, until_at=None)
    store.store.pause(PauseOf.ENDPOINT, "automation", now=store.now, until_at=store.now + 3600)


def busy(store: Filler) -> None:
    """Thirty tasks finish. These are too many for new cards to come by themselves. Their times are in the future, so
    this lasts for the whole test."""
    for number in range(30):
        store.finished(f"one-of-many{number}", SHOWN, label=f"Foggy forest {number}", age=-3600)
        store.running(f"runs{number}", age=number, label=f"Clay robot {number}")


def hostile(store: Filler) -> None:
    """Labels, ids, reasons, URLs and answers that attack the page."""
    needs(store)
    for number, text in enumerate(HOSTILE):
        store.running(f"run{number}{text[:200]}", age=3, label=text[:500])
        store.finished(f"bad{number}{text[:200]}", label=text[:500], phase=Phase.FAILED, reason=text * 3, age=5)
        store.finished(f"dead-{number}", label=text[:500], states={"automation": DeliveryState.DEAD}, age=6)
    for number, url in enumerate(HOSTILE_URLS):
        kind = ("videos", "images", "audios", "files")[number % 4]
        store.finished(f"url{number}", {kind: [{"url": url, "cover": url, "title": ATTACK}]}, label=ATTACK, age=4)
    _refuse(store, "automation", f"{ATTACK} {ENDLESS[:200]} {TURNED}")


def reject_a_file(folder: Path) -> None:
    """Add a rejected queue file, as after a mistake in it."""
    (folder / "queue/rejected").mkdir(parents=True)
    (folder / "queue/rejected/broken.yaml").write_text("{")
    (folder / "queue/rejected/broken.yaml.reason").write_text("line 1: not YAML")


def _finished(store: Filler) -> None:
    video = {"url": f"{ELSEWHERE}/v.mp4", "duration": "5.1"}
    images = [{"url": f"{ELSEWHERE}/{number}.png"} for number in range(6)]
    store.finished("own", SHOWN, label="Lighthouse at dawn")
    store.finished("video", {"videos": [video]}, label="Koi pond, seamless loop", expires_in=86_400)
    store.finished("images", {"images": images}, label="Night train")
    shown = [{"url": f"{CDN}/{number}.png"} for number in range(6)]
    store.finished("shown", {"images": shown}, label="Four posters")
    song = {"url": f"{CDN}/s.mp3", "cover": f"{CDN}/s.png", "title": "Harbor lights"}
    store.finished("heard", {"audios": [song]}, label="Harbor lights")
    store.finished("song", {"audios": [{"url": f"{ELSEWHERE}/s.mp3", "title": "Rainy city"}]}, label="Rainy city")
    store.finished("gone", {"videos": [video]}, label="Glass teapot", expires_in=-60)
    store.finished("failed", label="Dragon in the rain", phase=Phase.FAILED, reason="The prompt was refused (1301).")
    for phase in (Phase.CANCELED, Phase.NOT_FOUND, Phase.TIMED_OUT):
        store.finished(f"end-{phase}", label=f"Foggy forest, {phase}", phase=phase, reason="after 2 h", states={})
    states = dict.fromkeys(("hook", "crm", "automation"), DeliveryState.ACCEPTED)
    store.finished("told", SHOWN, label="Origami crane 07", states=states)


def _disable(store: Filler, endpoint: str) -> None:
    for delivery in store.store.due(endpoint, "", now=store.now + 1e6, limit=1)[0]:
        made: dict[str, Any] = {"state": DeliveryState.WAITING, "outcome": "refused", "detail": "HTTP 410 Gone"}
        attempt = make_attempt(delivery, **made, at=store.now - 30, disables=True, next_attempt_at=store.now + 60)
        store.store.commit([attempt], Teller())


def _refuse(store: Filler, endpoint: str, answer: str) -> None:
    """Store that the endpoint has refused each due delivery with this answer."""
    for delivery in store.store.due(endpoint, "", now=store.now + 1e6, limit=100)[0]:
        made: dict[str, Any] = {"state": DeliveryState.DEAD, "outcome": "refused", "detail": answer}
        store.store.commit([make_attempt(delivery, **made, at=store.now - 20)], Teller())
