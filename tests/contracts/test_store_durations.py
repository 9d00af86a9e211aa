"""What every store must do, on every engine: `ports.Durations`."""

from __future__ import annotations

import pytest

from bridge.domain.durations.bins import bin_of
from bridge.domain.durations.table import FORGETTING, DurationKey, Table
from bridge.store import Store

VIDEO = DurationKey("kling", "videos/text2video")
IMAGE = DurationKey("kling", "images/generations", "v2")


def seen(*durations: float) -> Table:
    table = Table()
    for duration_s in durations:
        table.seen(0.0, duration_s)
        table.ended([duration_s], succeeded=True)
    return table


def kept(store: Store, key: DurationKey) -> Table:
    table = store.durations()[key]
    assert table is not None
    return table


def test_a_new_store_knows_nothing(store: Store) -> None:
    assert store.durations() == {}
    assert store.learn({}) == {}


def test_learned_durations_are_stored(store: Store) -> None:
    merged = store.learn({VIDEO: seen(60.0, 80.0), IMAGE: seen(9.0)})
    assert merged.keys() == {VIDEO, IMAGE}
    assert store.durations().keys() == {VIDEO, IMAGE}
    video, image = kept(store, VIDEO), kept(store, IMAGE)
    assert video.count == 2
    assert video.weight == pytest.approx(1 + FORGETTING)
    assert video.ends[bin_of(60.0)] == pytest.approx(FORGETTING)
    assert sum(image.exposure_s) == pytest.approx(9.0 * FORGETTING, rel=1e-4)


def test_durations_learned_by_several_daemons_are_added_and_shared(store: Store) -> None:
    store.learn({VIDEO: seen(60.0, 60.0)})
    merged = store.learn({VIDEO: seen(300.0)})[VIDEO]
    assert merged.count == 3
    assert merged.ends[bin_of(60.0)] == pytest.approx((1 + FORGETTING) * FORGETTING, rel=1e-4)
    assert merged.ends[bin_of(300.0)] == 1.0
    assert kept(store, VIDEO).moments.log_sum == pytest.approx(merged.moments.log_sum, rel=1e-4)


def test_running_time_counts_without_a_finish_and_does_not_reduce_older_weights(store: Store) -> None:
    store.learn({VIDEO: seen(60.0)})
    under_way = Table()
    under_way.seen(0.0, 100.0)
    merged = store.learn({VIDEO: under_way})[VIDEO]
    assert (merged.count, merged.weight) == (1, 1.0)
    assert sum(merged.exposure_s) == pytest.approx(100.0 + 60.0 * FORGETTING, rel=1e-4)


def test_a_duration_key_may_contain_any_text(store: Store) -> None:
    key = DurationKey("конто 'x'\n", 'ac"tion;--', "модель\U0001f981")
    store.learn({key: seen(5.0)})
    assert store.durations().keys() == {key}


def test_a_lone_surrogate_in_a_name_causes_no_error(store: Store) -> None:
    key = DurationKey("kling", "half \ud83d")
    store.learn({key: seen(5.0)})
    assert store.learn({key: seen(5.0)})[key].count == 2
