from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config.load import load, resolve
from bridge.control.archive_check import archive_findings, archive_reached
from bridge.domain.finding import Level
from tests.archive.buckets import BUCKET, environment, s3_server
from tests.config.settings_files import LEAST, loaded, written


@pytest.mark.parametrize(
    ("allow", "said"),
    [
        ("nas.local", None),
        ("192.168.1.5", None),
        ("10.0.0.0/8", None),
        ("fd00::/8", None),
        ("127.0.0.1", "reach every service of this machine"),
        ("0.0.0.0/0", "reach every service of this machine"),
        ("::1", "reach every service of this machine"),
        ("8.8.8.8", "is public"),
        ("192.0.0.0/8", "contains public addresses"),
    ],
)
def test_check_judges_each_entry_of_allow(tmp_path: Path, allow: str, said: str | None) -> None:
    text = f"{LEAST}archive: {{to: copies, allow: ['{allow}']}}\n"
    found = {one.thing: one for one in archive_findings(loaded(tmp_path, text))}

    assert found["archive"].level is Level.OK
    assert ("archive.allow[0]" in found) == (said is not None)
    if said is not None:
        assert found["archive.allow[0]"].level is Level.WARNING
        assert said in found["archive.allow[0]"].seen


def test_check_says_where_copies_go_and_creates_nothing(tmp_path: Path) -> None:
    [found] = archive_findings(loaded(tmp_path, f"{LEAST}archive: {{to: a/b}}\n"))
    assert str(tmp_path / "a/b") in found.seen
    assert not (tmp_path / "a").exists()

    (tmp_path / "a").write_text("a file")
    [found] = archive_findings(loaded(tmp_path, f"{LEAST}archive: {{to: a/b}}\n"))
    assert (found.level, found.seen) == (Level.ERROR, f"{tmp_path}/a is not a folder")


async def test_check_online_reads_the_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as url:
        for name, value in environment(url).items():
            monkeypatch.setenv(name, value)
        found = await archive_reached(loaded(tmp_path, f"{LEAST}archive: {{to: 's3://{BUCKET}/check'}}\n"))
        missing = await archive_reached(loaded(tmp_path, f"{LEAST}archive: {{to: 's3://nowhere/check'}}\n"))
    assert found is not None
    assert missing is not None
    assert found.level is Level.OK
    assert (missing.level, missing.seen.partition(";")[0]) == (
        Level.ERROR,
        "s3://nowhere/check: there is no such bucket",
    )
    assert await archive_reached(loaded(tmp_path, LEAST)) is None


async def test_check_online_asks_a_bucket_on_this_machine_without_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as url:
        env = {**environment(url), "http_proxy": "http://127.0.0.1:9", "KLING_API_KEY": "k"}
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        path = written(tmp_path, f"{LEAST}archive: {{to: 's3://{BUCKET}/check'}}\n")
        found = await archive_reached(resolve(load(path, env), env))
    assert found is not None
    assert found.seen == f"reachable (s3://{BUCKET}/check)"
