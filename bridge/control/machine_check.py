"""What `check` reports about the machine: free disk space, `http.listen`, and a clock that differs from servers'."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from bridge.archive.folder import nearest_existing
from bridge.clock import SystemClock
from bridge.config.load import Loaded
from bridge.control.formats import span
from bridge.domain.finding import Finding, Level
from bridge.domain.page_views import FULL_BYTES, StoreSpace
from bridge.domain.source import SourceKind
from bridge.errors import ConfigError, GenbridgeError, UsageError
from bridge.net.client import Answer, HttpClient, Request, Unanswered
from bridge.store import StorePlace

MOST_OFFSET_S: Final = 30.0  # many services allow a minute or more in signatures and tokens


def disk_findings(loaded: Loaded, place: StorePlace) -> Iterator[Finding]:
    """The disks that genbridge writes to, without repetition, each with its free space."""
    settings, folders = loaded.settings, [place.parent] if isinstance(place, Path) else []
    if settings.archive is not None and settings.archive.folder is not None:
        folders.append(loaded.under(settings.archive.folder))
    if SourceKind.QUEUE in loaded.source_paths:
        folders.append(loaded.source_paths[SourceKind.QUEUE])
    seen: set[int] = set()
    for wanted in folders:
        folder = nearest_existing(wanted)
        try:
            device, disk = folder.stat().st_dev, shutil.disk_usage(folder)
        except OSError:
            continue  # the store, the archive or the source reports this problem
        if device not in seen:
            seen.add(device)
            yield _free(wanted, StoreSpace(0, disk.free, disk.total))


def _free(folder: Path, space: StoreSpace) -> Finding:
    free = space.free_bytes or 0
    seen = f"{free / 1e9:,.1f} GB free at {folder}" if free >= 1e9 else f"{free // 1_000_000} MB free at {folder}"
    if free < FULL_BYTES:
        return Finding(Level.ERROR, "disk", f"{seen}: almost full; free some space")
    if space.is_nearly_full:
        return Finding(Level.WARNING, "disk", f"{seen}: free some space before it is full")
    return Finding(Level.OK, "disk", seen)


def has_room(folder: Path) -> bool:
    """Whether the disk of this folder has room for a small file."""
    return shutil.disk_usage(nearest_existing(folder)).free >= FULL_BYTES


class DatedClient(HttpClient):
    """An HTTP client that adds to `offsets_s` how many seconds this machine's clock is ahead of each server."""

    def __init__(self, offsets_s: list[float], **options: Any) -> None:
        super().__init__(**options)
        self._offsets_s = offsets_s

    async def fetch(self, request: Request, *, cap_bytes: int) -> Answer | Unanswered:
        answer = await super().fetch(request, cap_bytes=cap_bytes)
        if isinstance(answer, Answer):
            with suppress(ValueError):  # no date, or not a valid one
                at = parsedate_to_datetime(answer.headers.get("date", ""))
                self._offsets_s.append(SystemClock().now() - at.replace(tzinfo=at.tzinfo or UTC).timestamp())
        return answer


def clock_finding(offsets_s: Sequence[float]) -> Finding | None:
    """A warning if even the server with the closest clock differs."""
    offset_s = min(offsets_s, key=abs, default=0.0)
    if abs(offset_s) <= MOST_OFFSET_S:
        return None
    ahead = "ahead of" if offset_s > 0 else "behind"
    seen = f"this clock is {span(abs(offset_s))} {ahead} the servers that answered"
    return Finding(Level.WARNING, "clock", f"{seen}: signatures may be refused; turn on time synchronization")


def listen_finding(loaded: Loaded, *, is_shared: bool) -> Finding | None:
    """Whether `genbridge run` could listen there; None without `http`. Leaves nothing behind.

    A problem is only a warning if a daemon on a shared store may listen there already (`is_shared`), and below /run,
    where the service manager makes the folder.
    """
    http = loaded.settings.http
    if http is None:
        return None
    from bridge.net.http_server import check_port, check_unix  # imported here, because only `http` needs it

    address = http.address
    try:
        if address.path:
            check_unix(loaded.under(address.path))
        else:
            check_port(address.host, address.port)
    except GenbridgeError as error:
        is_sure = not is_shared and not address.path.startswith("/run/")
        level = Level.ERROR if is_sure else Level.WARNING
        code = ConfigError.exit_code if isinstance(error, UsageError) else error.exit_code  # that of `run`
        return Finding(level, "http.listen", str(error), code)
    return Finding(Level.OK, "http.listen", f"{address} can be used")
