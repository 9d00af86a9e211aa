"""Web pages are described by their titles."""

from __future__ import annotations

import pytest

from bridge.domain.web_pages import described


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (b"<html><head><TITLE lang=en> Bad &amp; ugly </TITLE>", 'a web page with the title "Bad & ugly"'),
        (b"<html><title>503 Service Unavailable</title>", ""),
        (b"<html><title></title>", "a web page"),
        (b"<html>", "a web page"),
    ],
)
def test_a_page_is_described_by_its_title(page: bytes, shown: str) -> None:
    assert described(page, 503) == shown


@pytest.mark.timeout(10)  # it took more than a minute
def test_a_large_page_that_repeats_a_tag_is_read_at_once() -> None:
    assert described(b"<title" * 200_000, 200) == "a web page"
