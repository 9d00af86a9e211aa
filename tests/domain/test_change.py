"""Changes: what a log line calls them, and how much they add to the store."""

from __future__ import annotations

import pytest

from bridge.domain.change import (
    MOST_NOTIFIED,
    MOST_WORDS,
    OTHER_WORDS,
    AccountAskedToWait,
    AccountChange,
    AnswerUnread,
    Change,
    EndpointChecked,
    Note,
    TaskChange,
    admitted,
    answer_bytes,
    concerns_all,
    key_of,
)
from bridge.domain.ids import WatchKey
from bridge.domain.task import ReadingKind, Snapshot
from bridge.domain.watch import Memory
from tests.factories import NOW


def succeeded(snapshot: Snapshot | None) -> TaskChange:
    note = Note(WatchKey("kling", "a"), 1, Memory(), ReadingKind.SUCCEEDED, "", NOW, None, "")
    return TaskChange(
        note=note,
        ends=True,
        topic=None,
        topic_part="",
        reason=None,
        snapshot=snapshot,
        provider="kling",
        at=NOW,
    )


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (succeeded(None), "kling/a"),
        (AccountAskedToWait(account="kling", until_at=0.0), "kling"),
        (AccountChange(account="kling", blocked=True, reason="", count=1, blocked_s=0.0, at=0.0), "kling"),
        (AnswerUnread(account="kling", word="boiling", reason="", answers=1, at=0.0), "kling"),
        (EndpointChecked(endpoint="chat", at=NOW), "chat"),
    ],
)
def test_a_log_line_names_a_change_by_its_subject(change: Change, key: str) -> None:
    assert key_of(change) == key


def test_changes_of_accounts_concern_all_daemons_and_transitions_do_not() -> None:
    assert concerns_all(AccountAskedToWait(account="kling", until_at=0.0))
    assert not concerns_all(succeeded(None))
    assert not concerns_all(EndpointChecked(endpoint="chat", at=NOW))


def test_notified_and_stored_unknown_words_are_limited() -> None:
    seen = AnswerUnread(account="kling", word="boiling", reason="", answers=1, at=NOW)
    assert admitted(seen, words=MOST_WORDS - 1, notified=MOST_NOTIFIED - 1, is_known=False) == (seen, NOW)
    assert admitted(seen, words=9, notified=MOST_NOTIFIED, is_known=False) == (seen, None)
    other, notified_at = admitted(seen, words=MOST_WORDS, notified=0, is_known=False)
    assert (other.word, other.answers, notified_at) == (OTHER_WORDS, 1, None)
    assert admitted(seen, words=MOST_WORDS, notified=0, is_known=True)[0] == seen


def test_a_changes_weight_is_about_the_size_of_the_answer() -> None:
    kept = {"prompt": "p" * 1000, "seeds": (1, 2), "nested": [{"text": "t" * 500}, None]}
    snapshot = Snapshot(message="m" * 100, result={"videos": [{"url": "u" * 200}]}, kept=kept)
    assert answer_bytes(succeeded(snapshot)) == 100 + 200 + 1000 + 500 + 3 * 8
    assert answer_bytes(succeeded(None)) == 0
    assert answer_bytes(EndpointChecked(endpoint="chat", at=NOW)) == 0


def test_the_weight_of_a_deeply_nested_answer_needs_no_recursion() -> None:
    kept: dict[str, object] = {}
    for _ in range(100_000):
        kept = {"": kept}
    assert answer_bytes(succeeded(Snapshot(kept=kept))) == 0
    while kept:  # so that freeing it needs no recursion
        [kept] = kept.values()  # type: ignore[assignment]  # each value is such a dict
