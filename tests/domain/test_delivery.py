from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.backoff import RetryPlan
from bridge.domain.change import EndpointChecked, key_of
from bridge.domain.delivery import (
    Accepted,
    AttemptMade,
    Deferred,
    Delivery,
    Outcome,
    Refused,
    Undeliverable,
    settle,
    within,
)
from bridge.domain.delivery_state import DELIVERY_FOLLOWS, DeliveryState
from bridge.domain.finding import Finding, Level, exit_code
from bridge.domain.slots import slot_of
from tests.factories import NOW, make_delivery

ALLOWED = {
    ("waiting", "waiting"),
    ("waiting", "accepted"),
    ("waiting", "dead"),
    ("waiting", "canceled"),
    ("accepted", "waiting"),
    ("dead", "waiting"),
    ("canceled", "accepted"),
}
PLAN = RetryPlan(steps_s=(5.0, 300.0, 1800.0))


def settled(outcome: Outcome, *, delivery: Delivery | None = None, plan: RetryPlan = PLAN) -> AttemptMade:
    return settle(delivery or make_delivery(), outcome, plan=plan, now=NOW, duration_s=0.25, chance=0.0)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(DeliveryState, DeliveryState)))
def test_the_table_of_delivery_states_allows_exactly_these_pairs(before: DeliveryState, after: DeliveryState) -> None:
    assert (after in DELIVERY_FOLLOWS[before]) is ((before, after) in ALLOWED)


def test_an_accepted_delivery_is_finished() -> None:
    made = settled(Accepted(detail="204 No Content"), delivery=make_delivery(delivery_id=7, attempts=2))
    assert made == AttemptMade(
        delivery_id=7,
        event_id="evt_one",
        endpoint="automation",
        state=DeliveryState.ACCEPTED,
        attempts=3,
        outcome="accepted",
        detail="204 No Content",
        at=NOW,
        duration_s=0.25,
        next_attempt_at=None,
        disables=False,
    )


def test_a_deferred_delivery_waits_for_its_next_step() -> None:
    made = settled(Deferred(reason="503"), delivery=make_delivery(attempts=1))
    assert (made.state, made.outcome, made.detail) == (DeliveryState.WAITING, "deferred", "503")
    assert (made.attempts, made.next_attempt_at, made.disables) == (2, NOW + 300.0, False)


def test_the_receivers_hint_moves_the_next_attempt() -> None:
    made = settled(Deferred(reason="429", retry_after_s=60.0))
    assert made.next_attempt_at == NOW + 60.0


def test_a_queue_hold_lasts_as_requested_but_at_most_the_longest_step() -> None:
    made = settled(Deferred(reason="429", retry_after_s=60.0, delays_queue=True), delivery=make_delivery(target="2:x"))
    assert (made.target, made.next_attempt_at, made.queue_until) == ("2:x", NOW + 60.0, NOW + 60.0)
    late = settled(Deferred(reason="429", retry_after_s=60.0, delays_queue=True), delivery=make_delivery(attempts=1))
    assert (late.next_attempt_at, late.queue_until) == (NOW + 300.0, NOW + 60.0)
    endless = settled(Deferred(reason="429", retry_after_s=1e9, delays_queue=True))
    assert endless.queue_until == NOW + 1800.0
    dead = settled(Deferred(reason="429", retry_after_s=60.0, delays_queue=True), delivery=make_delivery(attempts=3))
    assert (dead.state, dead.queue_until) == (DeliveryState.DEAD, NOW + 60.0)
    assert settled(Deferred(reason="429", retry_after_s=60.0)).queue_until is None
    assert settled(Deferred(reason="429", delays_queue=True)).queue_until is None


def test_an_unanswered_request_is_not_repeated_within_five_minutes() -> None:
    outcome = Deferred(reason="no answer", is_unanswered=True)
    assert settled(outcome).next_attempt_at == NOW + 300.0
    assert settled(outcome, plan=RetryPlan(steps_s=(1.0, 1.0))).next_attempt_at == NOW + 300.0
    assert settled(outcome, delivery=make_delivery(attempts=2)).next_attempt_at == NOW + 1800.0
    assert settled(outcome, delivery=make_delivery(attempts=3)).state is DeliveryState.DEAD


def test_after_the_last_step_the_delivery_is_dead() -> None:
    made = settled(Deferred(reason="503", retry_after_s=1.0), delivery=make_delivery(attempts=3))
    assert (made.state, made.attempts, made.next_attempt_at) == (DeliveryState.DEAD, 4, None)


def test_a_refusal_disables_the_endpoint_and_the_delivery_waits_without_ageing() -> None:
    made = settled(Refused(reason="410 Gone"), delivery=make_delivery(attempts=3))
    assert (made.state, made.outcome, made.detail) == (DeliveryState.WAITING, "refused", "410 Gone")
    assert (made.attempts, made.next_attempt_at, made.disables) == (3, NOW, True)


OUTCOMES = st.one_of(
    st.builds(Accepted, detail=st.just("200")),
    st.builds(Deferred, reason=st.just("503"), retry_after_s=st.none() | st.floats(0, 1e9)),
    st.builds(Refused, reason=st.just("410")),
)
PLANS = st.builds(RetryPlan, steps_s=st.lists(st.floats(0.1, 1e5), max_size=12).map(tuple))


@given(OUTCOMES, PLANS, st.integers(0, 12), st.floats(0, 1, exclude_max=True))
def test_no_outcome_causes_a_forbidden_state_change(
    outcome: Outcome, plan: RetryPlan, attempts: int, chance: float
) -> None:
    made = settle(make_delivery(attempts=attempts), outcome, plan=plan, now=NOW, duration_s=0.0, chance=chance)
    assert made.state in DELIVERY_FOLLOWS[DeliveryState.WAITING]
    assert (made.next_attempt_at is not None) is (made.state is DeliveryState.WAITING)
    assert made.next_attempt_at is None or made.next_attempt_at >= NOW


@pytest.mark.usefixtures("unmeasured")
@given(PLANS, st.lists(OUTCOMES, min_size=30, max_size=60), st.floats(0, 1, exclude_max=True))
def test_a_delivery_ends_after_at_most_one_attempt_more_than_its_steps(
    plan: RetryPlan, outcomes: list[Outcome], chance: float
) -> None:
    delivery, now, deferrals = make_delivery(), NOW, 0
    for outcome in [*outcomes, *[Deferred(reason="503")] * 20]:
        made = settle(delivery, outcome, plan=plan, now=now, duration_s=0.0, chance=chance)
        deferrals += isinstance(outcome, Deferred)
        if made.state is not DeliveryState.WAITING:
            break
        now = made.next_attempt_at or now
        delivery = make_delivery(attempts=made.attempts)
    assert made.state in {DeliveryState.ACCEPTED, DeliveryState.DEAD}
    assert deferrals <= 1 + len(plan.steps_s)
    assert made.state is DeliveryState.ACCEPTED or deferrals == 1 + len(plan.steps_s)


def test_an_attempt_that_sent_nothing_keeps_the_record_of_sent_messages() -> None:
    plan = RetryPlan(steps_s=(5.0, 5.0))
    delivery = make_delivery(sent_so_far="1:abc")
    for outcome, known in ((Deferred(reason="500", sent_so_far="2:def"), "2:def"), (Deferred(reason="500"), "1:abc")):
        made = settle(delivery, outcome, plan=plan, now=NOW, duration_s=0.1, chance=0.0)
        assert made.sent_so_far == known


def test_a_delivery_that_can_never_be_sent_is_dead_at_once() -> None:
    made = settled(Undeliverable(reason="no value"))
    assert (made.state, made.outcome) == (DeliveryState.DEAD, "undeliverable")


def test_a_log_line_names_an_attempts_event_and_a_checks_endpoint() -> None:
    assert key_of(settled(Accepted(detail="HTTP 200"))) == make_delivery().event_id
    assert key_of(EndpointChecked(endpoint="chat", at=NOW)) == "chat"


def test_a_command_that_found_things_exits_with_its_worst_error() -> None:
    found = [
        Finding(Level.OK, "store", "good"),
        Finding(Level.ERROR, "proxy", "bad", 78),
        Finding(Level.ERROR, "x", "y"),
    ]
    assert (exit_code(found), exit_code(found[:1])) == (78, 0)
    assert found[1].line() == "error   proxy: bad"


def test_a_delivery_is_in_the_slot_of_its_task_or_account() -> None:
    assert make_delivery(subject="a").slot == slot_of("a")
    assert make_delivery(subject="", account="kling").slot == slot_of("kling")


def test_uncounted_attempts_never_use_up_the_retries() -> None:
    waiting = Deferred(reason="no space", retry_after_s=60.0, delays_queue=True, is_counted=False)
    made = settled(waiting, delivery=make_delivery(attempts=4))  # one more counted attempt would be the last

    assert (made.state, made.attempts, made.next_attempt_at) == (DeliveryState.WAITING, 4, NOW + 60.0)
    assert made.queue_until == NOW + 60.0
    assert made.queue_reason == "no space"


def test_bodies_are_fetched_in_order_up_to_the_limit_one_at_least() -> None:
    sizes = [(7, 50), (3, 30), (9, 30), (1, 5)]
    assert within(sizes, 1000) == [7, 3, 9, 1]
    assert within(sizes, 80) == [7, 3]
    assert within(sizes, 10) == [7]
    assert within([], 10) == []
