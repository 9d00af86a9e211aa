"""An archive in a bucket of S3, or of a service with the same protocol (extra `s3`)."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from bridge.archive.place import PlaceFailed, StoredFile
from bridge.domain.proxies import ProxyRules
from bridge.domain.quoting import printable
from bridge.net.client import NO_RULES

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Store

PART_BYTES: Final = 5 << 20  # part size of a multipart upload, the minimum of S3; parts are held in memory
PARTS_AT_ONCE: Final = 1  # parts in flight, while the next one is read
SINGLE_BYTES: Final = 4 << 20  # smaller files are uploaded in one request, and only if they do not exist
READ_BYTES: Final = 256 * 1024
LIST_AT_ONCE: Final = 1000
STREAM_BYTES: Final = 512 * 1024
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_NO_BUCKET: Final = "NoSuchBucket"
_UNREACHED: Final = "its server cannot be reached"
_OWN_MACHINE: Final = "169.254.0.0/16"  # where clouds give a machine its keys; never behind a proxy
_PANIC: Final = "PanicException"  # how the library fails if it cannot even write the request; no subclass of Exception
_MALFORMED: Final = "AWS_ENDPOINT_URL is not http(s)://HOST:PORT, or an AWS_* variable contains a line break"
MOST_CHARS: Final = 200  # of the library's own words

# What a part of the library's error text means. The first match counts.
_CAUSES: Final = (
    (_NO_BUCKET, "there is no such bucket"),
    ("//169.254.169.254/", "no key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ("redirect without LOCATION", "the bucket is in another region: set AWS_REGION"),
    ("UnknownIssuer", "the issuer of its certificate is unknown; if you trust it, add it to the file of SSL_CERT_FILE"),
    ("NotValidForName", "its certificate is for another host; check AWS_ENDPOINT_URL"),
    ("ExpiredContext", "its certificate has expired, or this machine's clock is wrong"),
    ("NotValidYetContext", "its certificate is not valid yet; check this machine's clock"),
    ("InvalidContentType", "it does not use TLS; does AWS_ENDPOINT_URL need http://?"),
    ("IncompleteMessage", "it closed the connection before it had answered"),
    ("dns error", "a host name does not resolve; check AWS_ENDPOINT_URL"),
    ("kind: Connect", _UNREACHED),
    ("kind: Timeout", "no answer in time"),
)


class Bucket:
    """`Place` in a bucket. `partial` is the local folder of unfinished files. Keys, region and endpoint come from the
    environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...), or from the machine's role. `proxies` choose the proxy
    for `server`, which is the address of the endpoint."""

    def __init__(self, url: str, partial: Path, *, server: str = "", proxies: ProxyRules = NO_RULES) -> None:
        self._url = url
        scheme, self._host, port = _parts(server)
        self._proxy = proxies.proxy_for(scheme, self._host, port)
        self._other_proxy = proxies.https or proxies.http
        self.partial: Final = partial
        self._made: S3Store | None = None
        self._uploading = threading.Lock()  # one at a time, for their memory

    @contextmanager
    def _store(self) -> Iterator[S3Store]:
        """The connection, created when it is first used. Converts the library's errors to PlaceFailed."""
        try:
            from obstore.exceptions import BaseError
            from obstore.store import S3Store
        except ImportError:
            raise PlaceFailed("archive.to names a bucket: install genbridge's extra s3") from None
        try:
            self._made = self._made or S3Store.from_url(
                self._url,
                client_options={"timeout": "5m", "connect_timeout": "15s", "allow_http": True, **self._proxy_options()},
                retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
            )
            yield self._made
        except BaseException as error:
            if not isinstance(error, BaseError | OSError | ValueError) and type(error).__name__ != _PANIC:
                raise
            reason = _reason(error)
            if reason == _UNREACHED and self._proxy is not None:
                reason += f" through the proxy {urlsplit(self._proxy).netloc.rpartition('@')[2]}"
            raise PlaceFailed(f"{self._url}: {reason}") from error

    def _proxy_options(self) -> ClientConfig:
        """The library's own rules for the environment differ from genbridge's: it uses a proxy also for this machine.
        It ignores the environment if it is given a proxy."""
        if self._proxy is not None:
            return {"proxy_url": self._proxy, "proxy_excludes": _OWN_MACHINE}
        if self._other_proxy is not None:
            return {"proxy_url": self._other_proxy, "proxy_excludes": f"{_OWN_MACHINE},{self._host}"}
        return {}

    def read(self, path: str) -> bytes | None:
        with self._store() as store:
            try:
                return bytes(store.get(path).bytes())
            except FileNotFoundError as error:
                if _NO_BUCKET in str(error):
                    raise
        return None

    def create(self, path: str, content: bytes) -> bool:
        return self._put(path, content, "application/json", mode="create")

    def replace(self, path: str, content: bytes) -> None:
        self._put(path, content, "application/json", mode="overwrite")

    def put(self, path: str, source: Path, *, media_type: str) -> bool:
        """See `Place.put`. A large file is uploaded in parts. The protocol has no condition for that, so this checks
        before whether the file exists. Names are reserved with small files, by `create`."""
        size = source.stat().st_size
        with self._uploading:
            if size <= SINGLE_BYTES:
                done = self._put(path, source.read_bytes(), media_type, mode="create")
            else:
                is_free = self.size(path) is None
                done = is_free and self._put(path, _chunks(source), media_type, mode="overwrite")
            if self.size(path) != size:
                if done:
                    raise PlaceFailed(f"{self._url}: {path} does not have the length that was uploaded")
                return False
            source.unlink(missing_ok=True)
        return True

    def size(self, path: str) -> int | None:
        with self._store() as store, suppress(FileNotFoundError):
            return int(store.head(path)["size"])
        return None

    def entries(self) -> Iterator[StoredFile]:
        with self._store() as store:
            for page in store.list(chunk_size=LIST_AT_ONCE):
                for one in page:
                    yield StoredFile(str(one["path"]), int(one["size"]), one["last_modified"].timestamp())

    async def chunks(self, path: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """A part of a file as it arrives."""
        with self._store() as store:
            found = await store.get_async(path, options={"range": (start, stop)})
            async for chunk in found.stream(min_chunk_size=STREAM_BYTES):
                yield bytes(chunk)

    def delete(self, path: str) -> None:
        with self._store() as store, suppress(FileNotFoundError):
            store.delete(path)

    def signed_url(self, path: str, life: timedelta) -> str:
        """A URL signed by the bucket. Anyone who has it can download the file."""
        with self._store() as store:
            import obstore

            return str(obstore.sign(store, "GET", path, life))

    def _put(self, path: str, content: Any, media_type: str, *, mode: Any) -> bool:
        with self._store() as store:
            from obstore.exceptions import AlreadyExistsError

            try:
                store.put(
                    path,
                    content,
                    attributes={"Content-Type": media_type},
                    mode=mode,
                    use_multipart=not isinstance(content, bytes),
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )
            except AlreadyExistsError:
                return False
        return True


def _parts(server: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address. They are empty if it has none, which the first request reports."""
    try:
        parts = urlsplit(server)
        return parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return "", "", None


def _reason(error: BaseException) -> str:
    """Why a request failed. The library's own text is not shown, because it may quote a signed address."""
    if type(error).__name__ == _PANIC:
        return _MALFORMED
    text = str(error)
    for part, cause in _CAUSES:
        if part in text:
            return cause
    status, code = _STATUS.search(text), _CODE.search(text)
    said = [f"HTTP {status[1]}" if status else "", code[1] if code else ""]
    return ", ".join(filter(None, said)) or _first_words(text) or type(error).__name__


def _first_words(text: str) -> str:
    """What the library says about an answer that is not one of S3; empty if it may quote an address."""
    first = text.partition("\n")[0].partition(" error: ")[2]
    return "" if "://" in first else printable(first[:MOST_CHARS])


def _chunks(source: Path) -> Iterator[bytes]:
    """A file in pieces. Otherwise the library would hold one more part in memory."""
    with source.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            yield chunk
