"""The counts of a source, across its own restarts."""

from __future__ import annotations

from bridge.domain.source import SourceFacts, SourceTally
from tests.factories import NOW

BEFORE = SourceFacts(
    daemon="one", source="queue", path="/q", read_at=NOW, taken=3, rejected=1, error="old", error_at=NOW
)


def test_counts_and_the_last_error_continue_after_a_restart() -> None:
    tally = SourceTally(source="queue", path="/q")
    assert tally.facts("one", BEFORE) == BEFORE
    tally.taken += 2
    tally.refused(4, "bad.txt: no ids", NOW + 5)
    facts = tally.facts("one", BEFORE)
    assert (facts.taken, facts.rejected, facts.error, facts.error_at) == (5, 5, "bad.txt: no ids", NOW + 5)


def test_a_list_counts_only_its_last_reading() -> None:
    facts = SourceTally(source="watchlist", path="/w", is_listing=True, taken=7).facts("", BEFORE)
    assert (facts.taken, facts.rejected) == (7, 0)


def test_a_source_fails_until_it_can_be_read_again() -> None:
    tally = SourceTally(source="queue", path="/q")
    tally.failed("no such folder", NOW)
    assert tally.facts("", None).is_failing
    tally.looked(NOW + 1)
    facts = tally.facts("", None)
    assert (facts.is_failing, facts.error, facts.read_at) == (False, "no such folder", NOW + 1)
