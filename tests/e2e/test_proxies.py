"""Proxies from the environment are used for everything that a real daemon and its commands send."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.world import KEY, kling, until

pytestmark = pytest.mark.long


class _Proxy(http.server.BaseHTTPRequestHandler):
    """A proxy that answers every request itself, whatever the host is."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self._answer(json.dumps(kling("t-1", "succeed", urls=["https://cdn.example.test/a.mp4"])).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def _proxy() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (_Proxy,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def _settings(folder: Path, **hook: str) -> Path:
    account = {"provider": "kling", "base_url": "http://api.invalid", "api_key": KEY, "action": "videos/text2video"}
    settings = {
        "store": "state.db",
        "accounts": {"kling": account},
        "endpoints": {
            "hook": {"type": "webhook", "url": "http://hook.invalid/x", **hook},
            "chat": {"type": "apprise", "urls": ["json://chat.invalid/room"]},
        },
    }
    path = folder / "genbridge.yaml"
    path.write_text(json.dumps(settings))
    path.chmod(0o600)
    return path


def _genbridge(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return completed(*words, folder=folder, env=env)


def test_polls_webhooks_and_chats_go_through_the_proxy(tmp_path: Path) -> None:
    with _proxy() as (address, asked):
        settings = _settings(tmp_path)
        assert _genbridge(tmp_path, "add", "t-1").returncode == 0
        with DaemonProcess(settings, env={"HTTP_PROXY": address}) as daemon:
            until(lambda: len({line.split("/")[2] for line in asked}) == 3, seconds=20, what="all three hosts")
            assert daemon.stop() == 0
        count = len(asked)
        _genbridge(tmp_path, "check", "--online", http_proxy=address)

    assert "POST http://hook.invalid/x" in asked
    assert "POST http://chat.invalid/room" in asked
    assert any(line.startswith("GET http://api.invalid/") and line.endswith("/t-1") for line in asked)
    assert {line.split("/")[2] for line in asked[count:]} == {"api.invalid", "hook.invalid"}


def test_no_proxy_and_proxy_none_keep_requests_off_the_proxy(tmp_path: Path) -> None:
    with _proxy() as (address, asked):
        _settings(tmp_path, proxy="none")
        env = {"HTTP_PROXY": address, "NO_PROXY": "api.invalid"}
        done = _genbridge(tmp_path, "check", "--online", **env)

    assert asked == []
    assert done.returncode == 1
    assert "api.invalid" in done.stdout


def test_a_proxy_that_is_not_supported_is_a_mistake_at_its_place(tmp_path: Path) -> None:
    _settings(tmp_path)

    done = _genbridge(tmp_path, "check", HTTP_PROXY="socks5://me:sesame-word@127.0.0.1:1080")

    assert done.returncode == 78
    assert "accounts.kling" in done.stderr
    assert "proxy: none" in done.stderr
    assert "sesame-word" not in done.stderr + done.stdout


def test_the_proxy_for_the_official_host_of_a_provider_is_checked(tmp_path: Path) -> None:
    settings = tmp_path / "genbridge.yaml"
    settings.write_text("accounts: {mine: {provider: replicate, api_key: a-key}}")

    done = _genbridge(tmp_path, "check", HTTPS_PROXY="socks5://127.0.0.1:1080")

    assert done.returncode == 78
    assert "accounts.mine.proxy" in done.stderr


def test_the_demo_uses_no_proxy(tmp_path: Path) -> None:
    dead = "http://127.0.0.1:9"

    done = _genbridge(
        tmp_path, "demo", "--speed", "4", HTTP_PROXY=dead, HTTPS_PROXY=dead, ALL_PROXY="socks5://127.0.0.1:9"
    )

    assert done.returncode == 0, done.stderr
