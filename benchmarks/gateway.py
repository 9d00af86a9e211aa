"""How much longer a request takes through the gateway than directly. Both ways use one connection and take turns. A
status answer is read like a poll. A create answer contains a new task, whose watch is committed before the answer
is forwarded, including one disk sync."""

from __future__ import annotations

import http.client
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.daemon import ACCOUNT, daemon, settle
from benchmarks.http import free_port
from benchmarks.processes import server, until
from benchmarks.provider import PATH
from benchmarks.tables import Report, Table, median, number, percentile, spread

TOKEN: Final = "a-token-0123456789"
HEADERS: Final = {"Authorization": f"Bearer {TOKEN}"}
CREATE: Final = PATH.rstrip("/")
CALLS: Final = {"any other call": ("GET", "/account/costs"), "status": ("GET", f"{PATH}t1"), "create": ("POST", CREATE)}


def run(quick: bool) -> Report:
    rounds, calls = (1, 20) if quick else (5, 400)
    direct: dict[str, list[list[float]]] = {name: [] for name in CALLS}
    through: dict[str, list[list[float]]] = {name: [] for name in CALLS}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch, server("provider") as provider:
        port = free_port()
        http_block = {"listen": f"127.0.0.1:{port}", "token": TOKEN, "gateway": True}
        settings = settle(Path(scratch), provider=provider.url, interval="300s", http=http_block)
        with daemon(settings):
            until(lambda: _is_open(port), seconds=30)
            sides = (direct, provider.port, ""), (through, port, f"/gateway/{ACCOUNT}")
            connections = [http.client.HTTPConnection("127.0.0.1", port) for _, port, _ in sides]
            numbers = itertools.count()
            for _, name in itertools.product(range(rounds), CALLS):
                took = [
                    [_took_ms(connection, name, below, next(numbers)) for connection, (_, _, below) in both]
                    for both in itertools.repeat(list(zip(connections, sides, strict=True)), calls)
                ]
                for place, (found, _, _) in enumerate(sides):
                    found[name].append([pair[place] for pair in took])
            for connection in connections:
                connection.close()
    table = Table(
        head=("call", "directly, p50", "through the gateway, p50", "added, p50", "through the gateway, p99"),
        rows=[list(_row(name, direct[name], through[name])) for name in CALLS],
    )
    return Report(title="Gateway", how=__doc__, tables=[table], notes=["target: <= 3 ms added"])


def _row(name: str, direct: list[list[float]], through: list[list[float]]) -> Iterator[str]:
    yield name
    yield spread([median(took) for took in direct], unit="ms")
    yield spread([median(took) for took in through], unit="ms")
    yield spread([median(b) - median(a) for a, b in zip(direct, through, strict=True)], unit="ms")
    yield f"{number(percentile(list(itertools.chain(*through)), 0.99))} ms"


def _took_ms(connection: http.client.HTTPConnection, name: str, below: str, place: int) -> float:
    method, path = CALLS[name]
    body = b"{}" if method == "POST" else None
    since = time.perf_counter()
    connection.request(method, f"{below}{path}?n={place}", body, HEADERS)
    answer = connection.getresponse()
    answer.read()
    took_ms = (time.perf_counter() - since) * 1000
    if answer.status != 200 or (
        below and name == "create" and not answer.headers["Genbridge-Watch"].startswith(ACCOUNT)
    ):
        raise RuntimeError(f"{method} {path}: HTTP {answer.status} {answer.headers['Genbridge-Watch']}")
    return took_ms


def _is_open(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
