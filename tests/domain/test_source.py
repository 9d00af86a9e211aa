"""The counts of a source, across its own restarts."""

from __future__ import annotations

from bridge.domain.source import SourceFacts, SourceTally, kind_of, origin
from tests.factories import NOW

BEFORE = SourceFacts(
    daemon="one", source="queue", path="/q", read_at=NOW, taken=3, rejected=1, error="old", error_at=NOW
)


def resumed(tally: SourceTally) -> SourceTally:
    tally.resume(BEFORE)
    return tally


def test_counts_and_the_last_error_continue_after_a_restart() -> None:
    tally = resumed(SourceTally(daemon="one", source="queue", path="/q"))
    assert tally.facts() == BEFORE
    tally.taken += 2
    tally.refused(4, "bad.txt: no ids", NOW + 5)
    facts = tally.facts()
    assert (facts.taken, facts.rejected, facts.error, facts.error_at) == (5, 5, "bad.txt: no ids", NOW + 5)


def test_counts_before_the_stored_counts_are_loaded_are_added_to_them() -> None:
    tally = SourceTally(daemon="one", source="queue", path="/q", taken=2)
    tally.refused(4, "bad.txt: no ids", NOW + 5)
    facts = resumed(tally).facts()
    assert (facts.taken, facts.rejected, facts.error, facts.error_at) == (5, 5, "bad.txt: no ids", NOW + 5)


def test_a_watchlist_counts_only_its_last_reading() -> None:
    facts = resumed(SourceTally(source="watchlist", path="/w", is_listing=True, taken=7)).facts()
    assert (facts.taken, facts.rejected) == (7, 0)


def test_a_source_fails_until_it_can_be_read_again() -> None:
    tally = SourceTally(source="queue", path="/q")
    tally.failed("no such folder", NOW)
    assert tally.facts().is_failing
    tally.looked(NOW + 1)
    facts = tally.facts()
    assert (facts.is_failing, facts.error, facts.error_at, facts.read_at) == (False, "no such folder", NOW, NOW + 1)


def test_a_watchlist_without_mistakes_has_no_last_error() -> None:
    tally = SourceTally(source="watchlist", path="/w", is_listing=True)
    tally.failed("no such file", NOW)
    tally.looked(NOW + 1)
    assert (tally.facts().error, tally.facts().error_at) == (None, None)
    tally.refused(1, "tasks.yaml:2: id is missing", NOW + 2)
    tally.looked(NOW + 2)
    assert tally.facts().error == "tasks.yaml:2: id is missing"


def test_a_source_that_fails_no_longer_waits_for_its_file() -> None:
    tally = SourceTally(source="lines", path="/l")
    tally.waits("the file does not exist")
    tally.failed("not a regular file", NOW)
    assert (tally.facts().is_failing, tally.facts().note) == (True, None)


def test_an_invalid_file_keeps_the_time_when_it_became_invalid() -> None:
    tally = SourceTally(source="settings", path="", is_listing=True)
    for second, mistakes in ((0, ["a", "b"]), (9, ["b"])):
        tally.invalid(mistakes, NOW + second)
    facts = tally.facts()
    assert (facts.is_failing, facts.error, facts.error_at, facts.rejected) == (True, "b", NOW, 1)


def test_on_a_shared_store_a_sources_name_begins_with_its_kind() -> None:
    assert kind_of(origin("queue", "one", "/srv/queue@home")) == kind_of("queue") == "queue"
