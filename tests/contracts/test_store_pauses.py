"""What every store must do, on every engine: `views.Pauses`."""

from __future__ import annotations

from bridge.domain.pause import Pause, PauseOf
from bridge.store import Store
from tests.factories import NOW, make_wish
from tests.store.making import KEY


def test_a_pause_is_kept_with_its_end(store: Store) -> None:
    assert store.pauses() == []
    store.pause(PauseOf.ACCOUNT, "kling", now=NOW, until_at=NOW + 60)
    store.pause(PauseOf.ENDPOINT, "kling", now=NOW, until_at=None)
    assert store.pauses() == [
        Pause(of=PauseOf.ACCOUNT, name="kling", since_at=NOW, until_at=NOW + 60),
        Pause(of=PauseOf.ENDPOINT, name="kling", since_at=NOW, until_at=None),
    ]
    pause = store.accounts()["kling"].pause
    assert pause is not None
    assert pause.until_at == NOW + 60


def test_only_paused_names_can_be_resumed(store: Store) -> None:
    assert not store.resume(PauseOf.ACCOUNT, "kling", now=NOW)
    store.pause(PauseOf.ACCOUNT, "kling", now=NOW, until_at=None)
    assert store.resume(PauseOf.ACCOUNT, "kling", now=NOW + 10)
    assert not store.resume(PauseOf.ACCOUNT, "kling", now=NOW + 11)
    [pause] = store.pauses()
    assert (pause.lasts(NOW + 11), pause.paused_s(NOW + 99)) == (False, 10.0)


def test_earlier_pauses_do_not_count_for_a_new_task(store: Store) -> None:
    store.pause(PauseOf.ACCOUNT, "kling", now=NOW, until_at=NOW + 60)
    store.add([make_wish()], source="cli", now=NOW + 20)
    [watch] = store.find(KEY.task_id, KEY.account)
    assert watch.state.blocked_before_s == 20.0
    store.add([make_wish(task_id="later")], source="cli", now=NOW + 500)
    [later] = store.find("later", "kling")
    assert later.state.blocked_before_s == 60.0
