"""Accounts and endpoints with the longest allowed names, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser

from bridge.domain.change import AccountChange
from bridge.domain.delivery_state import DeliveryState
from tests.factories import make_wish
from tests.http.page.browser import WIDTHS, tab
from tests.http.page.now_store import Filler
from tests.http.page.still_sites import still_sites
from tests.store.making import Teller

pytestmark = pytest.mark.timeout(180)

ACCOUNT: Final = "account-" + "a" * 56
ENDPOINT: Final = "endpoint-" + "e" * 55
BUTTON_IS_FREE: Final = """
    [...document.querySelectorAll("tr[data-delivery]")].every(row => {
        const [name, button] = [row.cells[2], row.querySelector("button")].map(one => one.getBoundingClientRect());
        return name.right <= button.left || name.bottom <= button.top;
    })
"""


def fill(store: Filler) -> None:
    store.finished("dead", label="Desert rover", states={ENDPOINT: DeliveryState.DEAD})
    store.store.add([make_wish(account=ACCOUNT, task_id="blocked")], source="cli", now=store.now - 90)
    reason = "HTTP 402: " + "not enough credits " * 20
    change = AccountChange(account=ACCOUNT, blocked=True, reason=reason, count=1, blocked_s=0.0, at=store.now - 60)
    store.store.commit([change], Teller())


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with still_sites() as made:
        yield made.serve(tmp_path_factory.mktemp("long"), fill=fill, accounts=("kling", ACCOUNT))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_name_of_an_endpoint_hides_no_button(browser: Browser, still: str, width: str) -> None:
    with tab(browser, still, width=width) as page:
        page.open("/deliveries")
        assert page.page.locator(f"tr[data-delivery*={ENDPOINT}] button").count() == 1
        assert page.page.evaluate(BUTTON_IS_FREE)
        assert page.page.evaluate("(one => one.scrollWidth <= one.clientWidth)(document.querySelector('.scroll'))")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_reason_leaves_the_time_on_one_line(browser: Browser, still: str, width: str) -> None:
    with tab(browser, still, width=width) as page:
        page.open(f"/task?account={ACCOUNT}&id=blocked")
        assert "is blocked" in page.text(".waiting .meta > :last-child")
        assert page.page.evaluate("document.querySelector('.waiting .meta > :first-child').clientHeight < 30")
