"""One browser for each file of tests, and a site without a token.

Playwright keeps an event loop running in this thread, so such a file must not have async tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.http.page.browser import running_browser
from tests.http.site import Site, running_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site without a token: everybody on this machine may read and act."""
    folder = tmp_path_factory.mktemp("open_site")
    with running_site(folder, http={"token": None, "read_token": None}) as running:
        yield running
