"""The promises of every place of an archive: a folder, and a bucket at a real S3 server."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from anyio import to_thread

from bridge.archive.bucket import SINGLE_BYTES, Bucket
from bridge.archive.folder import Folder
from bridge.archive.place import Place, PlaceFailed
from bridge.domain.proxies import ProxyRules
from tests.archive.buckets import BUCKET, environment, s3_server
from tests.archive.copies import MP4, archive_in, copied, finished
from tests.loopback import answers, loopback

PATH = "2025/11/01/kling/cat-1.mp4"
RECORD = "2025/11/02/kling/猫.json"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    return Bucket(f"s3://{BUCKET}/{tmp_path.name}", tmp_path / "partial")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Folder(tmp_path / "archive")
    found: Bucket = request.getfixturevalue("bucket")
    return found


def local(folder: Path, content: bytes) -> Path:
    source = folder / "source"
    source.write_bytes(content)
    return source


def test_a_small_file_is_created_once_and_can_be_replaced(place: Place) -> None:
    assert place.read("a/b.json") is None
    assert place.create("a/b.json", b"one")
    assert not place.create("a/b.json", b"two")
    assert place.read("a/b.json") == b"one"
    place.replace("a/b.json", b"three")
    assert place.read("a/b.json") == b"three"


@pytest.mark.parametrize("size", [5, SINGLE_BYTES + 20_000_000], ids=["small", "large"])
def test_a_file_is_moved_in_once_and_never_overwritten(place: Place, tmp_path: Path, size: int) -> None:
    first, second = MP4[:size].ljust(size, b"1"), b"2" * (size + 1)
    assert place.put(PATH, source := local(tmp_path, first), media_type="video/mp4")
    assert not source.exists()
    assert place.size(PATH) == size
    assert not place.put(PATH, local(tmp_path, second), media_type="video/mp4")
    assert place.put(PATH, local(tmp_path, first), media_type="video/mp4")  # as after a crash
    assert place.read(PATH) == first


def test_every_file_is_listed_with_its_size_and_can_be_deleted(place: Place, tmp_path: Path) -> None:
    place.create(RECORD, b"12345")
    place.put(PATH, local(tmp_path, b"123"), media_type="video/mp4")
    assert {(one.path, one.bytes) for one in place.entries()} == {(RECORD, 5), (PATH, 3)}
    assert all(one.at > 1_700_000_000 for one in place.entries())
    place.delete(PATH)
    place.delete(PATH)
    assert place.size(PATH) is None
    assert [one.path for one in place.entries()] == [RECORD]


async def test_copies_are_made_in_a_folder_or_bucket(place: Place, tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as source:
        event = finished(f"{source.url}/a.mp4")
        for _ in range(2):
            await copied(archive_in(tmp_path / "local", place=place), event)
        assert len(source.asked) == 1

    assert {one.path.rpartition("/")[2] for one in place.entries()} == {"cat.json", "cat-1.mp4"}


def test_a_signed_url_of_a_bucket_needs_no_key(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(PATH, local(tmp_path, MP4), media_type="video/mp4")
    with urllib.request.urlopen(bucket.signed_url(PATH, timedelta(days=7)), timeout=30) as answer:
        assert answer.read() == MP4
        assert answer.headers["Content-Type"] == "video/mp4"


def test_a_bucket_that_does_not_answer_is_a_failure_without_its_key(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    with pytest.raises(PlaceFailed) as failure:
        Bucket("s3://nowhere", Path()).create("a.json", b"x")
    assert str(failure.value) == "s3://nowhere: its server cannot be reached"


def test_a_bucket_is_reached_by_the_proxy_rules_of_genbridge(
    bucket: Bucket, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"http_proxy": "http://me:canary@127.0.0.1:9"}
    monkeypatch.setenv("http_proxy", env["http_proxy"])
    here = Bucket(f"s3://{BUCKET}/here", tmp_path, server=server, proxies=ProxyRules.of(env))
    assert here.create("a.json", b"x")  # a proxy is never used for this machine
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.invalid")
    away = Bucket(f"s3://{BUCKET}/away", tmp_path, server="http://s3.invalid", proxies=ProxyRules.of(env))
    with pytest.raises(PlaceFailed) as failure:
        away.create("a.json", b"x")
    reason = "its server cannot be reached through the proxy 127.0.0.1:9"
    assert str(failure.value) == f"s3://{BUCKET}/away: {reason}"


@pytest.mark.parametrize(
    ("host", "days", "is_trusted", "reason"),
    [
        ("127.0.0.1", (-1, 1), False, "the issuer of its certificate is unknown"),
        ("other.example", (-1, 1), True, "its certificate is for another host"),
        ("127.0.0.1", (-2, -1), True, "its certificate has expired"),
        ("127.0.0.1", (1, 2), True, "its certificate is not valid yet"),
    ],
)
async def test_a_bucket_says_what_is_wrong_with_its_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, days: tuple[int, int], is_trusted: bool, reason: str
) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    begin, end = (datetime.now(UTC) + timedelta(days=each) for each in days)
    authority.issue_cert(host, not_before=begin, not_after=end).configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with loopback(answers(200), tls=tls) as server:
        trust = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")} if is_trusted else {}
        for name, value in {**environment(server.url), **trust}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(PlaceFailed) as failure:
            await to_thread.run_sync(Bucket(f"s3://{BUCKET}", tmp_path).create, "a.json", b"x")
    assert str(failure.value).startswith(f"s3://{BUCKET}: {reason}")
    assert server.asked == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "minio:9000"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:port"),
        ("AWS_SESSION_TOKEN", "token\n"),
        ("AWS_ACCESS_KEY_ID", "key\n"),
    ],
)
def test_a_malformed_variable_of_a_bucket_is_a_failed_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    for key, known in {**environment("http://127.0.0.1:9"), name: value}.items():
        monkeypatch.setenv(key, known)
    server = value if name == "AWS_ENDPOINT_URL" else ""
    with pytest.raises(PlaceFailed, match=r": AWS_ENDPOINT_URL is not http\(s\)://HOST:PORT, or .* line break$"):
        Bucket(f"s3://{BUCKET}", tmp_path, server=server).create("a.json", b"x")


def test_a_missing_bucket_is_not_an_empty_one(bucket: Bucket, tmp_path: Path) -> None:
    missing = Bucket("s3://nowhere", tmp_path)
    for call in (lambda: missing.create("a.json", b"x"), lambda: missing.read("a.json")):
        with pytest.raises(PlaceFailed, match=r"^s3://nowhere: there is no such bucket$"):
            call()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, b"<Error><Code>AccessDenied</Code><Message>key canary</Message></Error>", "HTTP 403, AccessDenied"),
        (403, b"", "HTTP 403"),
        (301, b"<Error><Code>PermanentRedirect</Code></Error>", "the bucket is in another region: set AWS_REGION"),
        (200, b"", "Unable to extract metadata from headers: ETag Header missing from response"),
    ],
)
async def test_a_refusal_of_the_bucket_names_its_status_and_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, body: bytes, reason: str
) -> None:
    async with loopback(answers(status, body)) as server:
        for name, value in environment(server.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(PlaceFailed) as failure:
            await to_thread.run_sync(Bucket(f"s3://{BUCKET}", tmp_path).create, "a.json", b"x")
    assert str(failure.value) == f"s3://{BUCKET}: {reason}"
