"""What readers of the store get."""

from __future__ import annotations

from bridge.domain.views import MemberView


def test_a_member_that_joined_again_has_the_name_of_its_daemon() -> None:
    members = [MemberView(name, joined_at=0.0, lease_until=0.0, shares=0) for name in ("vm#1", "vm#2", "a#b#3")]
    assert [one.daemon for one in members] == ["vm", "vm", "a#b"]
