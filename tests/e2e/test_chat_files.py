"""Many tasks finish at once, and their results are attached as files."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from tests.daemon_process import DaemonProcess
from tests.e2e.test_chats import ends
from tests.world import Answer, World, drop, kling, running_world, until

pytestmark = pytest.mark.long

IDS: Final = [f"task-{number:02}" for number in range(30)]
FILE_BYTES: Final = 6_000_000
MOST_GROWTH_MB: Final = 120  # all files together have 180 MB


class Chats:
    """Serves the results. Records what two chats got, in order: a text or a file of a task."""

    def __init__(self) -> None:
        self.taken: dict[str, list[str]] = defaultdict(list)
        self.fetched = Counter[str]()
        self.sizes: set[int] = set()
        lock, chats = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    chats.fetched[self.path] += 1
                self.answer(b"\x00\x00\x00\x18ftypmp42" + b"v" * (FILE_BYTES - 12), "video/mp4")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                is_file = self.headers["content-type"].startswith("multipart/")
                found = re.search(rb"task-\d\d", body)
                assert found is not None
                with lock:
                    kind = "file" if is_file else "text"
                    chats.taken[self.path.strip("/")].append(f"{kind} {found[0].decode()}")
                    if is_file:
                        chats.sizes.add(body.count(b"v" * 1000))
                self.answer(b"{}", "application/json")

            def answer(self, body: bytes, media_type: str) -> None:
                self.send_response(200)
                self.send_header("content-type", media_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.at = f"127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def chats() -> Iterator[Chats]:
    chats = Chats()
    threading.Thread(target=chats.server.serve_forever, daemon=True).start()
    yield chats
    chats.server.shutdown()
    chats.server.server_close()


def highest_rss_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


def test_thirty_simultaneous_results_keep_order_and_limits_with_their_files(chats: Chats, tmp_path: Path) -> None:
    finish_at = time.monotonic() + 4

    def answer(task_id: str) -> Answer | None:
        if time.monotonic() < finish_at:
            return None
        body = kling(task_id, "succeed", urls=[f"http://{chats.at}/{task_id}.mp4"])
        return 200, json.dumps(body).encode(), {}

    with running_world(World(ends_at=dict.fromkeys(IDS, finish_at + 3600), fault=answer)) as world:
        urls = [f"form://{chats.at}/{name}" for name in ("one", "two")]
        chat = {"type": "apprise", "urls": urls, "attach": "file"}
        endpoints = {"chat": chat, **world.webhooks("hook")}
        settings = world.settings(tmp_path, endpoints=endpoints)
        (tmp_path / "queue").mkdir()
        drop(tmp_path / "queue", "ids.txt", "".join(f"{one}\n" for one in IDS))
        with DaemonProcess(settings) as daemon:
            until(lambda: bool(chats.taken), seconds=60, what="the first message")
            began_mb = highest_rss_mb(daemon.pid)
            until(lambda: all(len(chats.taken[one]) >= 60 for one in ("one", "two")), seconds=100, what="all of them")
            grown_mb = highest_rss_mb(daemon.pid) - began_mb
            assert daemon.stop() == 0
    order = ends(tmp_path / "state.db")
    assert sorted(order) == IDS
    wanted = [f"{kind} {one}" for one in order for kind in ("text", "file")]
    assert dict(chats.taken) == {"one": wanted, "two": wanted}
    assert len(chats.sizes) == 1, "each file is whole"
    assert set(chats.fetched.values()) == {1}, chats.fetched
    assert grown_mb < MOST_GROWTH_MB, grown_mb
