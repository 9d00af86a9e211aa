"""What people read about the settings of a daemon."""

from __future__ import annotations

import pytest

from bridge.control.settings_status import SettingsFacts, settings_lines

TAKEN = "http.listen: cannot listen on 127.0.0.1 port 8080: another program is listening there"


@pytest.mark.parametrize(
    ("mistakes", "more"), [(1, ""), (3, "; 2 more mistakes in the log (settings.invalid)")], ids=["one", "several"]
)
def test_further_mistakes_of_a_reload_are_in_the_log(mistakes: int, more: str) -> None:
    """`genbridge check` does not list all: not a changed store, and not an address that is taken."""
    facts = SettingsFacts(
        daemon="", path="genbridge.yaml", read_at=1.0, invalid_since=2.0, mistake=TAKEN, mistakes=mistakes
    )
    [(_, _), (_, said)] = settings_lines([facts], now=3.0)
    assert said == TAKEN + more
