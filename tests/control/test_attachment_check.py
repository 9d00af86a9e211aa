from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.settings_check import check_offline
from bridge.domain.finding import Level
from bridge.wiring.store_location import StoreLocation
from tests.config.settings_files import LEAST, loaded

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.mark.parametrize(
    ("endpoint", "thing"),
    [
        ("{type: webhook, format: telegram, chat_id: 1, url: 'https://api.telegram.org/bot1:A'}", None),
        ("{type: webhook, format: discord, url: 'https://discord.com/api/webhooks/1/x'}", None),
        ("{type: webhook, format: wecom, url: 'https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k'}", None),
        ("{type: webhook, format: feishu, url: 'https://open.feishu.cn/open-apis/bot/v2/hook/x'}", "endpoints.team"),
        ("{type: webhook, format: slack, url: 'https://hooks.slack.com/services/T/B/x'}", "endpoints.team"),
        ("{type: apprise, urls: ['discord://1/x', 'mailto://a:b@example.com']}", None),
        (f"{{type: apprise, urls: ['discord://1/x', '{SLACK}']}}", "endpoints.team[2]"),
        ("{type: apprise, urls: ['wecombot://abcdefgh']}", "endpoints.team[1]"),
    ],
)
def test_check_names_endpoints_that_take_no_files(tmp_path: Path, endpoint: str, thing: str | None) -> None:
    settings = loaded(tmp_path, f"{LEAST}  team: {endpoint[:-1]}, attach: file}}\n")
    found = [
        (one.level, one.thing)
        for one in check_offline(settings, StoreLocation(place=tmp_path / "state.db"))
        if "attach: file" in one.seen
    ]
    assert found == ([] if thing is None else [(Level.WARNING, thing)])
