"""What `check` reports about the archive: its location, and the hosts in `archive.allow`."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import anyio.to_thread

from bridge.archive.bucket import Bucket
from bridge.archive.keeper import space_problem
from bridge.archive.place import PlaceFailed
from bridge.config.load import Loaded
from bridge.domain.finding import Finding, Level
from bridge.domain.public_addresses import IpNetwork, why_not_public
from bridge.domain.result_urls import why_refused
from bridge.wiring.account_catalogue import base_url_of, catalogue
from bridge.wiring.archive_builder import allowed_hosts, place_of

PROBE: Final = "genbridge-check"  # a file that does not exist


def archive_findings(loaded: Loaded) -> Iterator[Finding]:
    """The findings that need no network. Creates nothing."""
    archive = loaded.settings.archive
    if archive is None:
        return
    for number, text in enumerate(archive.allow):
        if (warning := _allows_too_much(text)) is not None:
            yield Finding(Level.WARNING, f"archive.allow[{number}]", f"{text} {warning}")
    yield from _refused_previews(loaded)
    place = place_of(archive, loaded)
    if isinstance(place, Bucket):
        return
    folder = place.root
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    problem = space_problem(place.root)
    if not folder.is_dir():
        yield Finding(Level.ERROR, "archive", f"{folder} is not a folder")
    elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        yield Finding(Level.WARNING, "archive", f"{folder} cannot be written by this user")
    elif problem is not None:
        yield Finding(Level.WARNING, "archive", f"{problem}: no copies are made")
    else:
        yield Finding(Level.OK, "archive", f"copies go to {place.root}")


async def archive_reached(loaded: Loaded) -> Finding | None:
    """Whether the bucket answers; None if there is no bucket."""
    archive = loaded.settings.archive
    place = None if archive is None else place_of(archive, loaded)
    if archive is None or not isinstance(place, Bucket):
        return None
    try:
        await anyio.to_thread.run_sync(place.read, PROBE)
    except PlaceFailed as error:
        return Finding(Level.ERROR, "archive", f"{error}; check the bucket, and AWS_* in the environment")
    return Finding(Level.OK, "archive", f"reachable ({archive.to})")


def _refused_previews(loaded: Loaded) -> Iterator[Finding]:
    """Hosts in `http.previews` that results are not copied from, because they are not public and not in `allow`."""
    known, allowed = catalogue(loaded), allowed_hosts(loaded)
    own = {urlsplit(base_url_of(each, known[each.provider])).hostname for each in loaded.settings.accounts.values()}
    for number, origin in enumerate(loaded.settings.http.previews if loaded.settings.http is not None else ()):
        host = urlsplit(origin.replace("://*.", "://", 1)).hostname or ""
        why = None if host in own else why_refused(origin.replace("://*.", "://", 1), own_host="", allowed=allowed)
        if why is not None:
            seen = f"results there are not copied: {host} {why}; to allow it, add it to archive.allow"
            yield Finding(Level.WARNING, f"http.previews[{number}]", seen)


def _allows_too_much(text: str) -> str | None:
    """Why an entry of `allow` is probably wrong; None if it is a private host or network."""
    try:
        network: IpNetwork = ipaddress.ip_network(text)
    except ValueError:
        return None  # a host name
    first, last = why_not_public(network[0]), why_not_public(network[-1])
    if network.is_loopback or ipaddress.ip_address("127.0.0.1") in network:
        return "lets result URLs reach every service of this machine"
    if first is None and last is None:
        return "is public: it needs no entry"
    return None if first == last else "contains public addresses, too: write only the private network"
