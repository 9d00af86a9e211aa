from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.settings_check import check_offline
from bridge.domain.finding import Level
from bridge.wiring.store_location import StoreLocation
from tests.config.settings_files import LEAST, loaded

CHAT = "{type: apprise, urls: ['json://127.0.0.1:9/x'],"
ROBOT = "{type: webhook, format: slack, url: 'https://hooks.slack.com/services/T/B/x',"


@pytest.mark.parametrize("kind", [CHAT, ROBOT])
@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("title: '{{ name }} is done'", None),
        ("body: '{% if reason %}{{ reason }}{% endif %}'", None),
        ("title: '{{ data.lable }}'", "gives no text for the samples of `genbridge test`"),
        ("body: '{{ urls[0] + 1 }}'", "the default text is used for `genbridge test --topic task_"),
    ],
)
def test_check_names_templates_that_give_no_text(tmp_path: Path, kind: str, template: str, problem: str | None) -> None:
    settings = loaded(tmp_path, f"{LEAST}  team: {kind} {template}}}\n")
    part = template.partition(":")[0]
    found = [
        one
        for one in check_offline(settings, StoreLocation(place=tmp_path / "state.db"))
        if one.thing == f"endpoints.team.{part}"
    ]
    assert [one.level for one in found] == ([] if problem is None else [Level.WARNING])
    assert problem is None or found[0].seen.startswith(problem)
