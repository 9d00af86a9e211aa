"""What `check` reports about the archive: its location, and the hosts in `archive.allow`."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from typing import Final

import anyio.to_thread

from bridge.archive.folder import nearest_existing
from bridge.archive.keeper import space_problem
from bridge.archive.place import PlaceFailed
from bridge.config.load import Loaded
from bridge.domain.finding import Finding, Level
from bridge.domain.public_addresses import IpNetwork, why_not_public
from bridge.wiring.archive_builder import place_of

PROBE: Final = "genbridge-check"  # a file that does not exist


def archive_findings(loaded: Loaded) -> Iterator[Finding]:
    """The findings that need no network. Creates nothing."""
    archive = loaded.settings.archive
    if archive is None:
        return
    for number, text in enumerate(archive.allow):
        if (warning := _allows_too_much(text)) is not None:
            yield Finding(Level.WARNING, f"archive.allow[{number}]", f"{text} {warning}")
    if archive.folder is None:
        return
    root = loaded.under(archive.folder)
    folder, problem = nearest_existing(root), space_problem(root)
    if not folder.is_dir():
        yield Finding(Level.ERROR, "archive", f"{folder} is not a folder")
    elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        yield Finding(Level.WARNING, "archive", f"{folder} cannot be written by this user")
    elif problem is not None:
        yield Finding(Level.WARNING, "archive", f"{problem}: no copies are made")
    else:
        yield Finding(Level.OK, "archive", f"copies go to {root}")


async def archive_reached(loaded: Loaded) -> Finding | None:
    """Whether the bucket answers; None if there is no bucket."""
    archive = loaded.settings.archive
    if archive is None or archive.folder is not None:
        return None
    place = place_of(archive, loaded)
    try:
        await anyio.to_thread.run_sync(place.read, PROBE)
    except PlaceFailed as error:
        return Finding(Level.ERROR, "archive", f"{error}; check the bucket, and AWS_* in the environment")
    return Finding(Level.OK, "archive", f"reachable ({archive.to})")


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
