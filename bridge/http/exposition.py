"""The figures of `/metrics`: every metric with its type, labels and meaning, in the formats that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from bridge import __version__
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.task import Phase
from bridge.domain.views import Counts
from bridge.http.accept_headers import accepted
from bridge.metrics import Histogram, Metrics

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SECONDS: Final = "seconds"


def content_type(accept: str) -> str:
    """The format for this Accept header: OpenMetrics for clients that request it, otherwise text."""
    wanted: dict[str, float] = {}
    for name, parameters, weight in accepted(accept):
        if name != "application/openmetrics-text" or parameters.get("version", "1.0.0") == "1.0.0":
            wanted[name] = max(wanted.get(name, 0.0), weight)
    openmetrics = wanted.get("application/openmetrics-text", 0.0)
    return OPENMETRICS if openmetrics > 0 and openmetrics >= wanted.get("text/plain", 0.0) else TEXT


def exposition(metrics: Metrics, counts: Counts | None, *, now: float, wanted: str) -> bytes:
    """All figures in the format `wanted`, a result of `content_type`. `counts` is None if the store cannot be read;
    then the figures from the store are left out."""
    stored = _stored(metrics, counts, now) if counts is not None else ()
    families = _Families([*_counted(metrics), _settings(metrics, now), *stored])
    if wanted == OPENMETRICS:
        return bytes(generate_openmetrics(families))  # type: ignore[no-untyped-call]  # untyped in the library
    return generate_latest(families)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _counted(metrics: Metrics) -> Iterator[Metric]:
    """The figures that this daemon has counted since its start."""
    yield InfoMetricFamily("genbridge_build", "The running version.", {"version": __version__})
    yield _counter(
        "genbridge_polls",
        "Poll requests, by the meaning of the answer. A batch is one request.",
        ("account", "outcome"),
        {(name, str(outcome)): n for name, one in metrics.accounts.items() for outcome, n in one.polls.items()},
    )
    yield _counter(
        "genbridge_callbacks",
        "Callbacks of the provider, by outcome.",
        ("account", "outcome"),
        {(name, str(outcome)): n for name, one in metrics.accounts.items() for outcome, n in one.callbacks.items()},
    )
    yield _counter(
        "genbridge_rate_limited",
        "Answers that asked for fewer requests.",
        ("account",),
        {(name,): one.rate_limited for name, one in metrics.accounts.items()},
    )
    yield _counter(
        "genbridge_events",
        "Events committed, whether or not a route sends them anywhere.",
        ("topic",),
        {(str(topic),): count for topic, count in metrics.events.items()},
    )
    yield _counter(
        "genbridge_delivery_attempts",
        "Attempts to deliver an event, by outcome.",
        ("endpoint", "outcome"),
        {(name, outcome): n for name, one in metrics.endpoints.items() for outcome, n in one.attempts.items()},
    )
    detection = "Time from the finish of a task, according to the provider, until genbridge noticed it."
    yield _histogram("genbridge_detection_seconds", detection, (), {(): metrics.detection_s})
    yield _histogram(
        "genbridge_delivery_seconds",
        "Time from noticing that a task has finished until the endpoint accepted the event.",
        ("endpoint",),
        {(name,): one.delivery_s for name, one in metrics.endpoints.items()},
    )
    commit = "Duration of a commit of transitions and outcomes, including the disk sync."
    yield _histogram("genbridge_store_commit_seconds", commit, (), {(): metrics.commit_s})
    lag = "How late the event loop ran a timer."
    yield _histogram("genbridge_loop_lag_seconds", lag, (), {(): metrics.loop_lag_s})


def _settings(metrics: Metrics, now: float) -> Metric:
    since = metrics.settings_invalid_since
    return _gauge(
        "genbridge_settings_invalid_seconds",
        "How long the settings file has been invalid while older settings stay in force, 0 while it is valid.",
        (),
        {(): 0.0 if since is None else max(0.001, now - since)},
        unit=SECONDS,
    )


def _stored(metrics: Metrics, counts: Counts, now: float) -> Iterator[Metric]:
    """The current figures of the store, for the accounts and endpoints in the settings."""
    yield _gauge(
        "genbridge_watches",
        "Watched tasks in the store, by phase.",
        ("account", "phase"),
        {
            (name, phase): counts.by_account.get((name, phase), 0)
            for name in metrics.accounts
            for phase in map(str, Phase)
        },
    )
    yield _gauge(
        "genbridge_account_blocked",
        "1 while the provider rejects the account, its key or its balance, else 0.",
        ("account",),
        {(name,): name in counts.blocked for name in metrics.accounts},
    )
    states = {str(DeliveryState.WAITING): counts.waiting_by_endpoint, str(DeliveryState.DEAD): counts.dead_by_endpoint}
    yield _gauge(
        "genbridge_deliveries",
        "Deliveries in the store that wait for an attempt or were given up.",
        ("endpoint", "state"),
        {(name, state): found.get(name, 0) for name in metrics.endpoints for state, found in states.items()},
    )
    yield _gauge(
        "genbridge_outbox_oldest_seconds",
        "Age of the oldest event that waits for delivery, 0 if none waits.",
        ("endpoint",),
        {(name,): max(0.0, now - counts.oldest_by_endpoint.get(name, now)) for name in metrics.endpoints},
        unit=SECONDS,
    )


def _counter(name: str, meaning: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], int]) -> Metric:
    return _filled(CounterMetricFamily(name, meaning, labels=labels), values)


def _gauge(
    name: str, meaning: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float], *, unit: str = ""
) -> Metric:
    return _filled(GaugeMetricFamily(name, meaning, labels=labels, unit=unit), values)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[tuple[str, ...], float]) -> Metric:
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _histogram(name: str, meaning: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], Histogram]) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels, unit=SECONDS)
    for of, histogram in values.items():
        bounds = [*map(str, histogram.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(list(histogram.counts)), strict=True))
        family.add_metric(of, buckets, histogram.total_s)
    return family
