"""What `run` prints on a terminal before its log: the accounts it polls, the sources of tasks, and who is notified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from bridge import __version__
from bridge.config.load import Loaded
from bridge.config.model import Apprise, Webhook
from bridge.control.formats import count
from bridge.domain.listen_address import ListenAddress
from bridge.domain.quoting import printable
from bridge.domain.views import Counts
from bridge.redaction import hidden
from bridge.screen import Screen, folded
from bridge.store import Place

NAME_CELLS: Final = 11


def start_summary(loaded: Loaded, place: Place, counts: Counts, screen: Screen) -> str:
    """The summary, in lines that fit the screen; addresses are printed without their secret parts."""
    lines = [screen.painted(f"genbridge {__version__}", "bold")]
    for name, text in _facts(loaded, place, counts):
        for number, part in enumerate(folded(printable(hidden(text)), screen.width - NAME_CELLS - 2)):
            lines.append(f"  {' ' * NAME_CELLS if number else screen.painted(f'{name:<{NAME_CELLS}}', 'dim')}{part}")
    lines += ["Ctrl-C stops it. Unfinished work stays in the store.", ""]
    return "\n".join(lines)


def _facts(loaded: Loaded, place: Place, counts: Counts) -> Iterator[tuple[str, str]]:
    settings = loaded.settings
    accounts = [
        name + ("" if name == one.provider else f" ({one.provider})") + (", discovers" if one.discover_s else "")
        for name, one in settings.accounts.items()
    ]
    yield "settings", str(loaded.path)
    yield "accounts", "; ".join(accounts)
    sources = [f"{source} {path}" for source, path in loaded.source_paths.items()]
    yield "sources", "; ".join([*sources, "`genbridge add`"])
    endpoints = [f"{name} ({_endpoint(one)})" for name, one in settings.endpoints.items()]
    yield "endpoints", "; ".join(endpoints) or "none: nobody is notified"
    waiting = f"{counts.waiting} {'delivery' if counts.waiting == 1 else 'deliveries'} waiting"
    yield "store", f"{place}: {count(counts.live, 'live task')}, {waiting}"
    if settings.http is not None:
        yield "page", settings.http.public_url or _page(settings.http.listen)


def _endpoint(endpoint: Webhook | Apprise) -> str:
    """The kind and the host of an endpoint: the rest of an address may be secret."""
    if isinstance(endpoint, Apprise):
        return f"apprise, {count(len(endpoint.urls), 'URL')}"
    kind = "webhook" if endpoint.format == "documented" else endpoint.format
    return f"{kind} at {urlsplit(endpoint.url.reveal()).netloc.rpartition('@')[2]}"


def _page(listen: str) -> str:
    address = ListenAddress.parse(listen)
    if not address.path and not address.port:
        return "at a free port, which the log names"
    return str(address) if address.path else f"http://{address}"
