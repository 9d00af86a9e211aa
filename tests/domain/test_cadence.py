from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.cadence import Pacing, next_poll_in_s
from bridge.domain.task import ReadingKind
from bridge.domain.watch import Doubt, Memory, Rules, Spacing, advance
from tests.factories import NOW, make_reading

PACING = Pacing(min_interval_s=2.0, max_interval_s=300.0)
RULES = Rules()


def wait(
    spacing: Spacing,
    *,
    memory: Memory | None = None,
    at: float = 0.0,
    age_s: float = 0.0,
    pacing: Pacing = PACING,
    rules: Rules = RULES,
    chance: float = 0.0,
) -> tuple[float, str]:
    return next_poll_in_s(
        memory or Memory(), spacing, now=NOW + at, age_s=age_s, pacing=pacing, rules=rules, chance=chance
    )


def doubting(answers: int, kind: ReadingKind = ReadingKind.NOT_FOUND) -> Memory:
    return Memory(doubt=Doubt(kind=kind, answers=answers, since_at=NOW))


@pytest.mark.parametrize(("age_s", "wait_s"), [(0, 2), (20, 2), (100, 10), (3000, 300), (80_000, 300)])
def test_with_a_fixed_cadence_the_wait_is_a_tenth_of_the_age(age_s: float, wait_s: float) -> None:
    assert wait(Spacing.STEADY, age_s=age_s) == (
        wait_s,
        f"a tenth of its age ({age_s} s), within min_interval and max_interval",
    )


def test_a_task_that_waits_for_a_person_is_polled_rarely() -> None:
    assert wait(Spacing.SLOW) == (300.0, "the task waits for a person")


def test_unusable_answers_back_off_up_to_the_longest_interval() -> None:
    waits = [wait(Spacing.BACKOFF, memory=Memory(failures=failures), chance=0.999)[0] for failures in range(1, 12)]
    assert waits[0] == 2.0
    assert waits == sorted(waits)
    assert 299 < waits[-1] <= 300
    assert wait(Spacing.BACKOFF, memory=Memory(failures=3))[1] == "backoff after 3 unusable answers in a row"
    assert wait(Spacing.BACKOFF, memory=Memory(failures=1))[1] == "backoff after an unusable answer"


@pytest.mark.parametrize("failures", [7, 20, 10**6])
def test_polling_resumes_within_a_minute_after_an_outage(failures: int) -> None:
    for chance in (0.0, 0.999):
        assert 30 <= wait(Spacing.TROUBLE, memory=Memory(failures=failures), chance=chance)[0] <= 60


def test_the_longest_interval_also_limits_waits_for_a_failing_provider() -> None:
    assert wait(Spacing.TROUBLE, memory=Memory(failures=50), pacing=replace(PACING, max_interval_s=5.0))[0] <= 5


def test_when_the_account_must_slow_down_its_limiter_decides() -> None:
    assert wait(Spacing.ACCOUNT) == (2.0, "the account must slow down; polled again as soon as its limiter allows")


def test_a_refused_watch_waits_at_most_ten_minutes_without_timing_out() -> None:
    rules = Rules(give_up_after_s=10.0)
    waits = [
        wait(Spacing.REFUSED, memory=Memory(failures=count), rules=rules, chance=0.999)[0] for count in range(1, 7)
    ]
    assert waits[0] == 60.0
    assert waits == sorted(waits)
    assert 599 < waits[-1] <= 600
    assert wait(Spacing.REFUSED)[1] == "the provider rejected the account; polled again when its block ends"


def test_a_doubtful_answer_is_polled_soon_and_when_it_can_be_final() -> None:
    reading, memory, at, polls = make_reading(ReadingKind.NOT_FOUND), Memory(), 0.0, 0
    while True:
        step = advance(memory, reading, now=NOW + at, age_s=at, rules=RULES)
        memory, polls = step.memory, polls + 1
        if step.ends:
            break
        at += wait(step.spacing, memory=memory, at=at, age_s=at, chance=0.5)[0]
    assert 180 <= at <= 180.1
    assert polls <= 10


@pytest.mark.parametrize("other", [ReadingKind.TRANSIENT, ReadingKind.BAD_REQUEST])
def test_contradictory_answers_are_polled_less_and_less_often(other: ReadingKind) -> None:
    memory, at, polls = Memory(), 0.0, 0
    while at < 3600:
        kind = ReadingKind.NOT_FOUND if polls % 2 else other
        step = advance(memory, make_reading(kind), now=NOW + at, age_s=at, rules=RULES)
        memory, polls = step.memory, polls + 1
        at += wait(step.spacing, memory=memory, at=at, age_s=at, chance=0.5)[0]
    assert polls <= 40


@pytest.mark.parametrize(("kind", "over_s"), [(ReadingKind.NOT_FOUND, 180.0), (ReadingKind.AMBIGUOUS, 120.0)])
def test_no_wait_ends_after_the_answer_can_be_accepted(kind: ReadingKind, over_s: float) -> None:
    memory = doubting(8, kind)
    assert wait(Spacing.DOUBT, memory=memory, at=over_s - 3)[0] == 3.0
    assert wait(Spacing.DOUBT, memory=memory, at=over_s - 1e-6)[0] == 0.05
    assert wait(Spacing.DOUBT, memory=memory, at=over_s)[0] >= 128.0
    assert wait(Spacing.DOUBT, memory=doubting(1, kind))[1].startswith(f'1 answer was read as "{kind}"; ')
    assert wait(Spacing.DOUBT, memory=memory)[1] == (
        f'8 answers were read as "{kind}"; genbridge accepts this only if it repeats for {over_s:g} s'
    )


@pytest.mark.parametrize("spacing", [Spacing.STEADY, Spacing.SLOW, Spacing.BACKOFF, Spacing.ACCOUNT, Spacing.DOUBT])
def test_the_last_poll_is_at_the_instant_of_the_time_out(spacing: Spacing) -> None:
    memory, rules = doubting(9)._replace(failures=9), Rules(give_up_after_s=1000.0)
    assert wait(spacing, memory=memory, age_s=999.0, rules=rules) == (
        1.0,
        "the last poll before the time-out (give_up_after)",
    )
    assert wait(spacing, memory=memory, age_s=1000.0 - 1e-7, rules=rules)[0] == 0.05
    assert wait(spacing, memory=memory, age_s=1001.0, rules=rules)[0] >= 2.0


def test_a_finished_watch_has_no_next_poll() -> None:
    with pytest.raises(ValueError, match="is not polled"):
        wait(Spacing.OVER)


def test_the_wait_for_a_doubtful_answer_needs_a_doubt() -> None:
    with pytest.raises(ValueError, match="needs a doubt"):
        wait(Spacing.DOUBT)


@given(
    st.sampled_from([spacing for spacing in Spacing if spacing is not Spacing.OVER]),
    st.integers(1, 10**6),
    st.floats(0, 1e7),
    st.floats(0, 1e6),
    st.floats(0, 1, exclude_max=True),
)
def test_every_wait_is_positive_and_bounded_and_has_a_reason(
    spacing: Spacing, count: int, age_s: float, at: float, chance: float
) -> None:
    memory = doubting(count)._replace(failures=count)
    wait_s, why = wait(spacing, memory=memory, at=at, age_s=age_s, chance=chance)
    assert 0.05 <= wait_s <= (600 if spacing is Spacing.REFUSED else 300)
    assert why


def test_the_learned_cadence_decides_after_a_normal_answer() -> None:
    learned = (7.0, "similar tasks usually take 5 s to 9 s")
    found = next_poll_in_s(
        Memory(), Spacing.STEADY, now=NOW, age_s=1.0, pacing=PACING, rules=Rules(), chance=0.0, learned=learned
    )
    assert found == learned
