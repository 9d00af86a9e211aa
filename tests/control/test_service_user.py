"""`check` by root looks at the service's folders with the rights of the service's user."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.control.service_user import seen_by, service_user
from bridge.domain.finding import Finding, Level

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of another user")
NOBODY = pwd.getpwnam("nobody")


def look() -> Iterator[Finding]:
    """Whether files can be made in /etc, and whether /etc exists."""
    can_write = os.access("/etc", os.W_OK, effective_ids=True)
    yield Finding(Level.OK, "queue", "/etc") if can_write else Finding(Level.ERROR, "queue", "/etc cannot be written")
    yield Finding(Level.OK, "lines", "/etc")


def test_a_folder_that_only_root_can_write_is_a_warning() -> None:
    before = (os.geteuid(), os.getegid(), os.getgroups())
    lines, queue = seen_by(NOBODY, look)
    assert lines == Finding(Level.OK, "lines", "/etc")
    assert (queue.level, queue.thing) == (Level.WARNING, "queue")
    assert queue.seen.startswith("as user nobody: /etc cannot be written; its own folders are /var/lib/genbridge")
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


def test_an_error_that_root_sees_is_not_replaced_by_a_warning() -> None:
    invalid = Finding(Level.ERROR, "watchlist", "1 invalid entry")

    def look() -> Iterator[Finding]:
        yield invalid if os.geteuid() == 0 else Finding(Level.ERROR, "watchlist", "no permission")

    assert [one.level for one in seen_by(NOBODY, look)] == [Level.ERROR, Level.WARNING]


def test_other_settings_are_checked_with_the_rights_of_the_caller(tmp_path: Path) -> None:
    assert service_user(tmp_path / "genbridge.yaml") is None
    assert list(seen_by(None, look)) == list(look())
