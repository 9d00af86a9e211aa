"""Builds the archive of the settings: its place, its downloads, the links to its copies, and attachments."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache, partial
from ipaddress import ip_network
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import anyio.to_thread

from bridge import __version__
from bridge.archive.answer_spool import AnswerSpool
from bridge.archive.archive_sink import ArchiveSink, LinkTo
from bridge.archive.bucket import Bucket
from bridge.archive.download import AskAgain, Download, Space
from bridge.archive.folder import Folder
from bridge.archive.keeper import KeepRules, space_problem
from bridge.archive.part_file import PartFile
from bridge.archive.place import PlaceFailed
from bridge.config.archive_settings import Archive
from bridge.config.load import Loaded, Network
from bridge.domain.backoff import RetryPlan
from bridge.domain.proxies import ProxyRules
from bridge.domain.public_addresses import AllowedHosts
from bridge.domain.store_key import LINK_LIFE_S, result_link
from bridge.domain.task import Reading, ReadingKind
from bridge.engine.poller import Poller
from bridge.net.outside_client import OutsideClient
from bridge.ports import Clock, Provider
from bridge.sinks.attached_files import KeptFiles, ResultFiles

COPIES_AT_ONCE: Final = 8
RETRIES: Final = RetryPlan(
    steps_s=(2.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 57_600.0)
)
"""More frequent than the retries of endpoints: URLs expire, and a request for a file can be repeated safely."""

ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
ASK_WITHIN_S: Final = 60.0  # how long a copy waits until its account may send a request

LinkKey: TypeAlias = "Callable[[], Awaitable[bytes]]"
"""The store's key for the signatures of links."""


def place_of(archive: Archive, loaded: Loaded) -> Folder | Bucket:
    """Where copies are kept. Creates nothing and sends no request yet."""
    if archive.folder is not None:
        return Folder(loaded.under(archive.folder))
    env = loaded.env or {}
    folder = env.get("STATE_DIRECTORY", "").partition(":")[0] or tempfile.gettempdir()
    amazon = f"https://s3.{env.get('AWS_REGION') or 'us-east-1'}.amazonaws.com"
    server = next(filter(None, map(env.get, ENDPOINT_VARIABLES)), amazon)
    return _bucket(archive.to, folder, server, loaded.proxies)


@lru_cache(maxsize=8)
def _bucket(url: str, folder: str, server: str, proxies: ProxyRules) -> Bucket:
    """One bucket object for all users, so that they share its connections. Its unfinished files are below `folder`."""
    mark = hashlib.sha256(url.encode()).hexdigest()[:12]
    return Bucket(url, Path(folder) / f"genbridge-{os.geteuid()}-{mark}", server=server, proxies=proxies)


def archive_sink(
    archive: Archive,
    loaded: Loaded,
    *,
    downloads: Mapping[str, Download],
    clock: Clock,
    link_key: LinkKey,
) -> ArchiveSink:
    """The sink of the archive. `downloads` has the download of each account."""
    place = place_of(archive, loaded)
    return ArchiveSink(
        place=place,
        partial=lambda name: PartFile(_partial_of(place) / name),
        downloads=downloads,
        spool=_spool_of(archive, place),
        kinds=frozenset(archive.kinds),
        most_bytes=archive.max_size,
        space=_space_of(place),
        clock=clock,
        link_to=_link_to(place, loaded, clock=clock, link_key=link_key),
    )


def answer_spool(loaded: Loaded) -> AnswerSpool | None:
    """The storage for files from inside answers until they are copied; None without an archive."""
    archive = loaded.settings.archive
    return None if archive is None else _spool_of(archive, place_of(archive, loaded))


def _spool_of(archive: Archive, place: Folder | Bucket) -> AnswerSpool:
    return AnswerSpool(
        partial(_partial_of, place),
        kinds=frozenset(archive.kinds),
        most_bytes=archive.max_size,
        space=_space_of(place),
    )


def asking(account: str, provider: Provider, traffic: Poller, clock: Clock) -> AskAgain:
    """A function that polls a task of this account once more, within the account's limits."""

    async def ask(task_id: str, action: str | None) -> Reading:
        held = await traffic.admit(account, within_s=ASK_WITHIN_S)
        if held is not None:
            return Reading(kind=ReadingKind.TRANSIENT, detail=f"not yet: {held.reason}")
        asked_at = clock.steady()
        try:
            reading = await provider.poll(task_id, action)
        finally:
            traffic.left(account)
        if reading.kind is ReadingKind.RATE_LIMITED:
            traffic.limited(account, reading, asked_at=asked_at)
        return reading

    return ask


def _partial_of(place: Folder | Bucket) -> Path:
    if not isinstance(place, Folder):
        _make_private(place.partial)
    return place.partial


def _space_of(place: Folder | Bucket) -> Space:
    return partial(space_problem, place.root if isinstance(place, Folder) else place.partial)


def keep_rules(loaded: Loaded) -> KeepRules | None:
    """How long copies are kept, and how many; None without an archive."""
    archive = loaded.settings.archive
    if archive is None:
        return None
    return KeepRules(place=place_of(archive, loaded), quota_bytes=archive.quota, keep_s=archive.keep_s)


def allowed_hosts(loaded: Loaded) -> AllowedHosts:
    allow = loaded.settings.archive.allow if loaded.settings.archive is not None else ()
    networks = []
    for each in allow:
        with suppress(ValueError):  # a host name
            networks.append(ip_network(each))
    return AllowedHosts(hosts=frozenset(each for each in allow if "/" not in each), networks=tuple(networks))


def result_files(
    loaded: Loaded, own_urls: Iterable[str], *, most_bytes: int, known: Mapping[str, bytes], kept: KeptFiles
) -> ResultFiles:
    """The results for `attach: file`: from the archive, or downloaded from the accounts' own URLs and public hosts."""
    settings = loaded.settings
    client = outside_client(loaded, own_urls, Network(proxy=None, ca_file=None, environment=loaded.proxies))
    return ResultFiles(
        client,
        most_bytes=most_bytes,
        within_s=settings.delivery.timeout_s,
        known=known,
        read_copy=None if settings.archive is None else partial(_read_copy, place_of(settings.archive, loaded)),
        kept=kept,
    )


def _read_copy(place: Folder | Bucket, path: str, most_bytes: int) -> bytes | None:
    try:
        size = place.size(path)
        return place.read(path) if size is not None and size <= most_bytes else None
    except PlaceFailed:
        return None


def outside_client(loaded: Loaded, own_urls: Iterable[str], network: Network) -> OutsideClient:
    """The client for results on public, own and allowed hosts. ConfigError for an unusable proxy or CA file."""
    allowed, own_hosts = allowed_hosts(loaded), filter(None, (urlsplit(url).hostname for url in own_urls))
    return OutsideClient(
        hosts=[*own_hosts, *allowed.hosts],
        networks=allowed.networks,
        user_agent=f"genbridge/{__version__}",
        **network,
    )


def _link_to(place: Folder | Bucket, loaded: Loaded, *, clock: Clock, link_key: LinkKey) -> LinkTo:
    public_url = loaded.settings.public_url

    async def link_to(path: str) -> str | None:
        if public_url is not None:
            return public_url + result_link(await link_key(), path, expires_s=int(clock.now()) + LINK_LIFE_S)
        if isinstance(place, Folder):
            return None
        return await anyio.to_thread.run_sync(place.signed_url, path, timedelta(seconds=LINK_LIFE_S))

    return link_to


def _make_private(folder: Path) -> None:
    """Create a folder that only the current user may access. PlaceFailed if the path is anything else."""
    try:
        folder.mkdir(0o700, exist_ok=True)
        seen = folder.lstat()
    except OSError as error:
        raise PlaceFailed(f"{folder}: {error.strerror}") from error
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise PlaceFailed(f"{folder}: is not a private folder of this user; remove it")
