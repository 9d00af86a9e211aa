from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.event import SUPERSEDED_BY_END, Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import ENDS, FOLLOWS, LIVE, Phase, Reading, ReadingKind, Snapshot
from bridge.domain.watch import Memory, Rules, Spacing, Step, advance, give_up
from tests.factories import END_TOPICS, NOW, make_reading, make_state, make_wish

RULES = Rules(not_found_answers=4, not_found_over_s=180.0, give_up_after_s=86_400.0)
RUNNING = Memory(phase=Phase.RUNNING)
VIDEO = Snapshot(status="succeed", result={"videos": [{"url": "https://a.test/1"}]}, urls=("https://a.test/1",))


def step(memory: Memory, reading: Reading, *, at: float = 0.0, age_s: float = 0.0, rules: Rules = RULES) -> Step:
    return advance(memory, reading, now=NOW + at, age_s=age_s, rules=rules)


def walk(memory: Memory, reading: Reading, *, at: list[float], rules: Rules = RULES) -> list[Step]:
    """The steps of the same reading at these instants, up to the first end."""
    steps: list[Step] = []
    for instant in at:
        steps.append(step(memory, reading, at=instant, rules=rules))
        memory = steps[-1].memory
        if steps[-1].ends:
            break
    return steps


def progress(percent: float | None, kind: ReadingKind = ReadingKind.RUNNING) -> Reading:
    return make_reading(kind, snapshot=Snapshot(progress=percent))


def test_a_wish_and_a_watch_of_one_task_have_the_same_key() -> None:
    assert make_wish().key == make_state().key == WatchKey("kling", "task-1")


# The end at once


@pytest.mark.parametrize(
    ("kind", "phase", "topic"),
    [
        (ReadingKind.SUCCEEDED, Phase.SUCCEEDED, Topic.TASK_SUCCEEDED),
        (ReadingKind.EXPIRED_RESULT, Phase.SUCCEEDED, Topic.TASK_SUCCEEDED),
        (ReadingKind.FAILED, Phase.FAILED, Topic.TASK_FAILED),
        (ReadingKind.CANCELED, Phase.CANCELED, Topic.TASK_CANCELED),
    ],
)
@pytest.mark.parametrize("before", sorted(LIVE))
def test_a_terminal_answer_ends_the_watch_at_once(before: Phase, kind: ReadingKind, phase: Phase, topic: Topic) -> None:
    taken = step(Memory(phase=before, polls=6, failures=2), make_reading(kind, detail="why", snapshot=VIDEO))
    assert taken.ends
    assert taken.memory == Memory(phase=phase, polls=7)
    assert (taken.topic, taken.topic_part, taken.reason) == (topic, "", "why")


@pytest.mark.parametrize("kind", [ReadingKind.SUCCEEDED, ReadingKind.FAILED, ReadingKind.CANCELED])
def test_a_failure_without_a_message_has_no_reason(kind: ReadingKind) -> None:
    assert step(RUNNING, make_reading(kind)).reason is None


def test_a_success_has_its_snapshot() -> None:
    assert step(RUNNING, make_reading(ReadingKind.SUCCEEDED, snapshot=VIDEO)).snapshot == VIDEO


@pytest.mark.parametrize("snapshot", [None, VIDEO])
def test_a_deleted_result_is_a_success_with_a_reason_and_no_urls(snapshot: Snapshot | None) -> None:
    taken = step(RUNNING, make_reading(ReadingKind.EXPIRED_RESULT, snapshot=snapshot))
    assert taken.topic is Topic.TASK_SUCCEEDED
    assert taken.reason == "the provider has already deleted the result"
    status = "" if snapshot is None else "succeed"
    assert taken.snapshot == Snapshot(status=status, result_missing=True)


@pytest.mark.parametrize(
    "reading",
    [
        make_reading(ReadingKind.EXPIRED_RESULT),
        make_reading(ReadingKind.AMBIGUOUS, lacks_result=True),
        make_reading(ReadingKind.SUCCEEDED, snapshot=Snapshot(status="succeed", refused=("javascript:x",))),
    ],
)
@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.FAILED])
def test_a_success_without_a_result_ends_as_the_settings_say(reading: Reading, phase: Phase) -> None:
    rules = Rules(no_result=phase)
    memory, at, taken = RUNNING, NOW, None
    for _ in range(6):
        taken = advance(memory, reading, now=at, age_s=0, rules=rules)
        if taken.ends:
            break
        memory, at = taken.memory, at + 40
    assert taken is not None
    assert taken.memory.phase is phase
    assert taken.snapshot is not None
    assert taken.snapshot.result_missing


@pytest.mark.parametrize("fails", [False, True])
def test_an_unknown_address_fails_a_task_only_if_other_actions_were_answered(fails: bool) -> None:
    rules = Rules(no_route_fails=fails)
    memory, at, taken = RUNNING, NOW, None
    for polls in range(1, 12):
        taken = advance(
            memory, make_reading(ReadingKind.NO_ROUTE, detail="no such route"), now=at, age_s=0, rules=rules
        )
        if taken.ends:
            break
        assert (taken.spacing, taken.memory.failures) == (Spacing.BACKOFF, polls)
        memory, at = taken.memory, at + 60
    assert taken is not None
    assert taken.ends is fails
    assert taken.memory.phase is (Phase.FAILED if fails else Phase.RUNNING)


AT_ONCE = {ReadingKind.SUCCEEDED, ReadingKind.EXPIRED_RESULT, ReadingKind.FAILED, ReadingKind.CANCELED}


@pytest.mark.parametrize("kind", [kind for kind in ReadingKind if kind not in AT_ONCE])
@pytest.mark.parametrize("lacks_result", [False, True])
def test_no_other_answer_ends_a_watch_at_once(kind: ReadingKind, lacks_result: bool) -> None:
    taken = step(Memory(), make_reading(kind, lacks_result=lacks_result))
    assert not taken.ends
    assert taken.memory.phase in LIVE


@pytest.mark.parametrize("phase", sorted(set(Phase) - LIVE))
@pytest.mark.parametrize("kind", list(ReadingKind))
def test_a_late_answer_never_changes_a_finished_watch(phase: Phase, kind: ReadingKind) -> None:
    with pytest.raises(ValueError, match=f"is {phase}"):
        step(Memory(phase=phase), make_reading(kind))


# Answers that must repeat


@pytest.mark.parametrize(
    ("kind", "phase", "topic"),
    [
        (ReadingKind.NOT_FOUND, Phase.NOT_FOUND, Topic.TASK_NOT_FOUND),
        (ReadingKind.BAD_REQUEST, Phase.FAILED, Topic.TASK_FAILED),
    ],
)
def test_a_doubtful_answer_is_believed_after_enough_repeats_over_enough_time(
    kind: ReadingKind, phase: Phase, topic: Topic
) -> None:
    steps = walk(RUNNING, make_reading(kind, detail="no such task"), at=[0, 2, 6, 14, 30, 179.9, 180, 181])
    assert [taken.spacing for taken in steps] == [Spacing.DOUBT] * 6 + [Spacing.OVER]
    assert (steps[-1].memory.phase, steps[-1].topic, steps[-1].reason) == (phase, topic, "no such task")


def test_a_doubt_needs_enough_answers_and_enough_time() -> None:
    steps = walk(RUNNING, make_reading(ReadingKind.NOT_FOUND), at=[0, 100, 1000, 2000])
    assert [taken.ends for taken in steps] == [False, False, False, True]


def test_a_doubt_from_before_the_clock_was_set_back_lasts_no_longer() -> None:
    not_found = make_reading(ReadingKind.NOT_FOUND)
    memory = step(RUNNING, not_found, at=86_400).memory
    assert [taken.ends for taken in walk(memory, not_found, at=[0, 60, 120, 180])] == [False, False, False, True]


def test_a_finish_after_a_doubt_always_has_a_reason() -> None:
    steps = walk(RUNNING, make_reading(ReadingKind.NOT_FOUND), at=[0, 100, 150, 180])
    assert steps[-1].reason == '"not_found" answered 4 times in a row'


@pytest.mark.parametrize("between", [kind for kind in ReadingKind if kind not in {*AT_ONCE, ReadingKind.NOT_FOUND}])
def test_any_other_answer_resets_the_doubt(between: ReadingKind) -> None:
    memory = walk(RUNNING, make_reading(ReadingKind.NOT_FOUND), at=[0, 50, 100])[-1].memory
    taken = step(memory, make_reading(between), at=170)
    taken = step(taken.memory, make_reading(ReadingKind.NOT_FOUND), at=180)
    assert taken.memory.doubt is not None
    assert (taken.memory.doubt.answers, taken.memory.doubt.since_at) == (1, NOW + 180)
    assert not taken.ends


def test_success_without_its_result_is_believed_after_five_times_over_two_minutes() -> None:
    lacking = make_reading(ReadingKind.AMBIGUOUS, lacks_result=True, detail="succeed, yet no videos")
    steps = walk(RUNNING, lacking, at=[0, 2, 6, 14, 119.9, 120, 130])
    assert [taken.ends for taken in steps] == [False] * 5 + [True]
    assert (steps[-1].topic, steps[-1].reason) == (Topic.TASK_SUCCEEDED, "succeed, yet no videos")
    assert [taken.ends for taken in walk(RUNNING, lacking, at=[0, 50, 120, 500, 501])] == [False] * 4 + [True]


def test_an_unknown_status_is_never_believed() -> None:
    steps = walk(RUNNING, make_reading(ReadingKind.AMBIGUOUS), at=[10.0 * count for count in range(200)])
    assert {taken.spacing for taken in steps} == {Spacing.BACKOFF}


# Failures, and what is about the account


@pytest.mark.parametrize(
    ("reading", "spacing"),
    [
        (make_reading(ReadingKind.TRANSIENT), Spacing.BACKOFF),
        (make_reading(ReadingKind.AMBIGUOUS), Spacing.BACKOFF),
        (make_reading(ReadingKind.TRANSIENT, server_trouble=True), Spacing.TROUBLE),
    ],
)
def test_unusable_answers_are_counted_until_a_good_one(reading: Reading, spacing: Spacing) -> None:
    steps = walk(RUNNING, reading, at=[0, 1, 2])
    assert [taken.memory.failures for taken in steps] == [1, 2, 3]
    assert steps[-1].spacing is spacing
    assert step(steps[-1].memory, make_reading(ReadingKind.PENDING)).memory.failures == 0


@pytest.mark.parametrize("kind", [ReadingKind.AUTH_ERROR, ReadingKind.ACCOUNT_ERROR])
def test_a_refused_account_neither_ends_nor_ages_a_watch(kind: ReadingKind) -> None:
    taken = step(RUNNING, make_reading(kind, detail="401"), age_s=1e9)
    assert taken == Step(memory=Memory(phase=Phase.RUNNING, polls=1, failures=1), spacing=Spacing.REFUSED, reason="401")


def test_a_rate_limit_is_no_failure_of_the_watch() -> None:
    taken = step(RUNNING, make_reading(ReadingKind.RATE_LIMITED, detail="429"))
    assert (taken.spacing, taken.memory.failures, taken.reason) == (Spacing.ACCOUNT, 0, "429")


# The task goes on


def test_the_first_running_answer_is_a_transition_and_later_ones_are_not() -> None:
    first = step(Memory(), make_reading(ReadingKind.RUNNING))
    assert (first.memory.phase, first.topic, first.topic_part, first.reason) == ("running", "task_running", "", None)
    second = step(first.memory, make_reading(ReadingKind.RUNNING), at=100)
    assert (second.memory.phase, second.topic, second.spacing) == (Phase.RUNNING, None, Spacing.STEADY)


def test_a_pending_task_stays_submitted_and_a_running_one_never_goes_back() -> None:
    assert step(Memory(), make_reading(ReadingKind.PENDING)).memory.phase is Phase.SUBMITTED
    assert step(RUNNING, make_reading(ReadingKind.PENDING)).memory.phase is Phase.RUNNING


@pytest.mark.parametrize("before", sorted(LIVE))
def test_a_task_waiting_for_a_person_causes_one_event_with_the_reason(before: Phase) -> None:
    first = step(Memory(phase=before), make_reading(ReadingKind.NEEDS_INPUT, detail="choose a variant"))
    assert (first.topic, first.topic_part, first.reason) == (Topic.TASK_RUNNING, "input", "choose a variant")
    assert (first.memory.phase, first.spacing) == (Phase.RUNNING, Spacing.SLOW)
    again = step(first.memory, make_reading(ReadingKind.NEEDS_INPUT))
    assert (again.topic, again.spacing, again.reason) == (None, Spacing.SLOW, "the task waits for a person")
    running = step(again.memory, make_reading(ReadingKind.RUNNING))
    assert running.topic is None
    assert step(running.memory, make_reading(ReadingKind.NEEDS_INPUT)).topic is None


def test_new_progress_causes_an_event_at_most_every_half_minute() -> None:
    told = []
    memory = Memory()
    for at, percent in [(0, 5), (2, 10), (29, 20), (30, 20), (59, 30), (60, 30), (95, 30), (130, 30), (131, 31.5)]:
        taken = step(memory, progress(percent), at=at)
        memory = taken.memory
        if taken.topic is not None:
            told.append((at, taken.topic, taken.topic_part))
    assert told == [
        (0, Topic.TASK_RUNNING, ""),
        (30, Topic.TASK_PROGRESS, "20"),
        (60, Topic.TASK_PROGRESS, "30"),
        (131, Topic.TASK_PROGRESS, "31.5"),
    ]


def test_progress_is_reported_also_after_the_clock_was_set_back() -> None:
    told = step(RUNNING, progress(10), at=86_400)
    assert step(told.memory, progress(20)).topic is Topic.TASK_PROGRESS


def test_the_progress_of_a_task_that_waits_is_none() -> None:
    waiting = step(Memory(), progress(0)._replace(kind=ReadingKind.PENDING))
    assert (waiting.topic, waiting.memory.phase) == (None, Phase.SUBMITTED)
    assert step(waiting.memory, progress(0)).topic is Topic.TASK_RUNNING


def test_progress_is_remembered_when_an_answer_has_none() -> None:
    memory = step(RUNNING, progress(40)).memory
    assert step(memory, progress(None)).memory.progress == 40
    assert step(memory, make_reading(ReadingKind.RUNNING)).memory.progress == 40


# Giving up


def test_a_watch_older_than_allowed_is_given_up_with_the_last_answer() -> None:
    reading = make_reading(ReadingKind.RUNNING, detail="processing", snapshot=VIDEO)
    taken = step(Memory(), reading, age_s=86_400.0)
    assert (taken.memory.phase, taken.topic, taken.snapshot) == (Phase.TIMED_OUT, Topic.TASK_TIMED_OUT, VIDEO)
    assert taken.reason == "not finished after 86400 s (give_up_after); the last answer: processing"
    assert not step(Memory(), reading, age_s=86_399.9).ends


def test_a_watch_can_be_given_up_on_a_silent_answer() -> None:
    taken = step(RUNNING, make_reading(ReadingKind.TRANSIENT), age_s=60.0, rules=replace(RULES, give_up_after_s=60.0))
    assert taken.reason == "not finished after 60 s (give_up_after)"


def test_a_finish_found_by_the_last_poll_overrides_the_time_out() -> None:
    assert step(RUNNING, make_reading(ReadingKind.SUCCEEDED), age_s=1e9).topic is Topic.TASK_SUCCEEDED


def test_a_watch_can_be_given_up_without_an_answer() -> None:
    taken = give_up(RUNNING, reason="no answers of late")
    assert taken == Step(
        memory=Memory(phase=Phase.TIMED_OUT),
        spacing=Spacing.OVER,
        topic=Topic.TASK_TIMED_OUT,
        reason="no answers of late",
    )


@pytest.mark.parametrize("phase", sorted(set(Phase) - LIVE))
def test_a_finished_watch_cannot_time_out(phase: Phase) -> None:
    with pytest.raises(ValueError, match=f"{phase} cannot become timed_out"):
        give_up(Memory(phase=phase), reason="no answers of late")


# All of it at once


def _seen(progress: float | None) -> Snapshot:
    return Snapshot(progress=progress)


READINGS = st.builds(
    make_reading,
    kind=st.sampled_from(ReadingKind),
    detail=st.sampled_from(["", "why"]),
    snapshot=st.none() | st.builds(_seen, st.none() | st.floats(0, 100)),
    lacks_result=st.booleans(),
    server_trouble=st.booleans(),
)
STORIES = st.lists(st.tuples(READINGS, st.floats(0, 400)), max_size=60)
DULL = st.sampled_from([ReadingKind.NOT_FOUND, ReadingKind.BAD_REQUEST, ReadingKind.AMBIGUOUS, ReadingKind.AUTH_ERROR])
DOUBTFUL = st.builds(make_reading, kind=DULL, lacks_result=st.just(value=True))


@given(STORIES, st.floats(1, 5000))
def test_a_watch_finishes_at_most_once_and_only_by_allowed_transitions(
    story: list[tuple[Reading, float]], give_up_after_s: float
) -> None:
    memory, at, topics = Memory(), 0.0, []
    for polls, (reading, wait_s) in enumerate(story, start=1):
        at += wait_s
        taken = step(memory, reading, at=at, age_s=at, rules=replace(RULES, give_up_after_s=give_up_after_s))
        topics.append(taken.topic)
        assert taken.memory.polls == polls
        assert taken.memory.phase is memory.phase or taken.memory.phase in FOLLOWS[memory.phase]
        assert taken.ends is (taken.memory.phase in ENDS) is (taken.topic in END_TOPICS)
        assert not taken.ends or (taken.memory.doubt, taken.memory.failures) == (None, 0)
        if reading.kind in {ReadingKind.AUTH_ERROR, ReadingKind.ACCOUNT_ERROR}:
            assert not taken.ends
        memory = taken.memory
        if taken.ends:
            break
    assert sum(topic in END_TOPICS for topic in topics) <= 1
    assert topics.count(Topic.TASK_RUNNING) <= 2


@given(st.lists(st.tuples(DOUBTFUL, st.floats(0, 200)), max_size=60), st.integers(1, 6), st.floats(0, 600))
def test_a_doubtful_answer_is_final_exactly_when_repeated_as_the_rules_require(
    story: list[tuple[Reading, float]], answers: int, over_s: float
) -> None:
    rules = replace(RULES, not_found_answers=answers, not_found_over_s=over_s)
    memory, at = Memory(), 0.0
    run: list[tuple[ReadingKind, float]] = []
    for reading, wait_s in story:
        at += wait_s
        run = [*run, (reading.kind, at)] if run and run[0][0] is reading.kind else [(reading.kind, at)]
        taken = step(memory, reading, at=at, rules=rules)
        needed, over = (5, 120.0) if reading.kind is ReadingKind.AMBIGUOUS else (answers, over_s)
        lasted_s = (NOW + at) - (NOW + run[0][1])
        believed = reading.kind is not ReadingKind.AUTH_ERROR and len(run) >= needed and lasted_s >= over
        assert taken.ends is believed
        if taken.ends:
            return
        memory = taken.memory


@given(STORIES)
def test_running_topics_come_only_from_answers_about_a_running_task(story: list[tuple[Reading, float]]) -> None:
    memory, at = Memory(), 0.0
    for reading, wait_s in story:
        at += wait_s
        taken = step(memory, reading, at=at)
        if taken.topic in SUPERSEDED_BY_END:
            assert reading.kind in {ReadingKind.PENDING, ReadingKind.RUNNING, ReadingKind.NEEDS_INPUT}
        if taken.ends:
            return
        memory = taken.memory
