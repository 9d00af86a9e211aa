"""Forms of the page in every store: none takes effect twice."""

from __future__ import annotations

from bridge.store import Store
from tests.factories import NOW

DAY_S = 86_400.0


def test_a_form_is_used_once(store: Store) -> None:
    assert store.use_form("a", now=NOW, kept_s=DAY_S)
    assert not store.use_form("a", now=NOW + 1, kept_s=DAY_S)
    assert store.use_form("b", now=NOW + 1, kept_s=DAY_S)


def test_a_form_without_an_effect_may_be_used_again(store: Store) -> None:
    store.free_form("never used")
    assert store.use_form("a", now=NOW, kept_s=DAY_S)
    store.free_form("a")
    assert store.use_form("a", now=NOW, kept_s=DAY_S)


def test_old_page_forms_are_forgotten(store: Store) -> None:
    assert store.use_form("a", now=NOW, kept_s=DAY_S)
    assert store.use_form("b", now=NOW + DAY_S + 1, kept_s=DAY_S)
    assert store.use_form("a", now=NOW + DAY_S + 2, kept_s=DAY_S)
    assert not store.use_form("b", now=NOW + DAY_S + 2, kept_s=DAY_S)
