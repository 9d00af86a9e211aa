"""Accounts and endpoints with the longest allowed names, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser

from bridge.domain.change import AccountChange
from bridge.domain.delivery_state import DeliveryState
from tests.factories import make_wish
from tests.http.page.browser import WIDTHS, tab
from tests.http.page.now_store import Filler
from tests.http.page.still_sites import still_sites
from tests.store.making import Teller, make_attempt

pytestmark = pytest.mark.timeout(180)

ACCOUNT: Final = "account-" + "a" * 56
ENDPOINT: Final = "endpoint-" + "e" * 55
BUTTON_IS_FREE: Final = """
    [...document.querySelectorAll("tr[data-delivery]")].every(row => {
        const [name, button] = [row.cells[2], row.querySelector("button")].map(one => one.getBoundingClientRect());
        return (name.right <= button.left || name.bottom <= button.top) && row.cells[1].clientWidth > 90;
    })
"""


def fill(store: Filler) -> None:
    store.finished("dead", label="Desert rover", states={ENDPOINT: DeliveryState.DEAD})
    store.finished("held", label="Paper boats", states={ENDPOINT: DeliveryState.WAITING})
    [held], *_ = store.store.due(ENDPOINT, "", now=store.now + 1e6, limit=1)
    made: dict[str, Any] = {"state": DeliveryState.WAITING, "outcome": "refused", "detail": "HTTP 410 Gone"}
    attempt = make_attempt(held, **made, at=store.now - 30, disables=True, next_attempt_at=store.now + 60)
    store.store.commit([attempt], Teller())
    store.store.add([make_wish(account=ACCOUNT, task_id="blocked")], source="cli", now=store.now - 90)
    reason = "HTTP 402: " + "not enough credits " * 20
    change = AccountChange(account=ACCOUNT, blocked=True, reason=reason, count=1, blocked_s=0.0, at=store.now - 60)
    store.store.commit([change], Teller())


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with still_sites() as made:
        yield made.serve(tmp_path_factory.mktemp("long"), fill=fill, accounts=("kling", ACCOUNT), endpoints=(ENDPOINT,))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_name_of_an_endpoint_hides_no_button(browser: Browser, still: str, width: str) -> None:
    with tab(browser, still, width=width) as page:
        page.open("/deliveries")
        assert page.page.locator(f"tr[data-delivery*={ENDPOINT}] button").count() == 2
        assert page.page.evaluate(BUTTON_IS_FREE)
        assert page.page.evaluate("(one => one.scrollWidth <= one.clientWidth)(document.querySelector('.scroll'))")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_reason_leaves_the_time_on_one_line(browser: Browser, still: str, width: str) -> None:
    with tab(browser, still, width=width) as page:
        page.open(f"/task?account={ACCOUNT}&id=blocked")
        assert "is blocked" in page.text(".waiting .meta > :last-child")
        assert page.page.evaluate("document.querySelector('.waiting .meta > :first-child').clientHeight < 30")


@pytest.mark.parametrize("path", ["/add", "/tasks"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_form_that_adds_tasks_fits(browser: Browser, still: str, width: str, path: str) -> None:
    with tab(browser, still, width=width) as page:
        page.open(path)
        page.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.page.locator("#add-tasks").is_visible()
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
