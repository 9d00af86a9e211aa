"""What every store must do, on every engine: `ports.SourceRecords`."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.source import SourceFacts
from bridge.store import Store

FACTS = SourceFacts(
    daemon="", source="queue", path="/q", read_at=1.5, taken=3, rejected=1, left_alone=2, note="by inotify"
)


def test_facts_replace_earlier_ones_of_the_same_source(store: Store) -> None:
    assert store.sources() == []
    store.record_sources([FACTS])
    failing = replace(FACTS, error="no such folder", error_at=2.5, is_failing=True, taken=4, note=None)
    store.record_sources([failing])
    assert store.sources() == [failing]


def test_each_daemon_and_path_has_its_own_facts(store: Store) -> None:
    facts = [replace(FACTS, daemon=daemon, path=path) for daemon in ("a", "b") for path in ("/one", "/two")]
    store.record_sources(facts)
    assert store.sources() == facts


def test_text_that_no_database_takes_is_stored_all_the_same(store: Store) -> None:
    store.record_sources([replace(FACTS, error="a\0b \udcff", path="/\udcff")])
    [stored] = store.sources()
    assert (stored.error, stored.path) == ("a?b ?", "/?")
