"""`genbridge test` on every kind of endpoint for people: the requests that are really sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from bridge.control.endpoint_sample import sample_picture
from tests.cli.shell import Shell
from tests.loopback import Asked, Exchange, Loopback, loopback
from tests.sinks.chat_pictures import form_of
from tests.sinks.chat_servers import smtp_server
from tests.sinks.limits import within_limits, within_telegram_uploads
from tests.sinks.reading import text_of
from tests.sinks.robot_answers import OK

pytestmark = pytest.mark.usefixtures("unmeasured")


@pytest.fixture
def robots() -> Iterator[Loopback]:
    """A server that plays every robot, by the first part of the path, and a receiver for Apprise."""

    async def play(exchange: Exchange) -> None:
        await exchange.answer(200, OK.get(exchange.asked.target.split("/")[1].partition("?")[0], b"{}"))

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(play)) as server:
        yield server


def endpoints_at(robots: Loopback, mail_port: int, language: str) -> dict[str, dict[str, Any]]:
    endpoints: dict[str, dict[str, Any]] = {
        form: {"type": "webhook", "format": form, "url": f"{robots.url}/{form}", "language": language} for form in OK
    }
    endpoints["telegram"]["chat_id"] = "-42"
    mail = f"mailto://127.0.0.1:{mail_port}?smtp=127.0.0.1&mode=insecure&from=a@example.com&to=b@example.com"
    for name, url in (("mail", mail), ("form", f"form://127.0.0.1:{robots.port}/form/")):
        endpoints[name] = {"type": "apprise", "urls": [url], "language": language}
    return endpoints


def shown(form: str, asked: Sequence[Asked]) -> tuple[str, int]:
    """The text of the messages that a robot got, and the number of files with them."""
    texts, count = [], 0
    for each in asked:
        fields, files = form_of(each)
        message = json.loads(fields["payload_json"]) if "payload_json" in fields else dict[str, Any](fields)
        if "media" in fields:
            within_telegram_uploads("sendMediaGroup", fields, len(files))
            message = {"text": json.loads(fields["media"])[0]["caption"], "parse_mode": "HTML"}
        elif message.get("msgtype") == "image":
            files.append(("image/png", base64.b64decode(message["image"]["base64"])))
        elif not files:
            within_limits(form, message, each.body)
        texts += [] if message.get("msgtype") == "image" else [text_of(form, message)]
        count += len(files)
    return "\n".join(texts), count


@pytest.mark.parametrize(("language", "failed"), [("en", "failed"), ("zh", "失败")], ids=["en", "zh"])
def test_every_endpoint_for_people_gets_samples_that_look_real(
    language: str, failed: str, shell: Shell, robots: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_KEY", "a-key")
    with smtp_server() as (port, mailbox):
        shell.settings({"endpoints": endpoints_at(robots, port, language)})
        for form in OK:
            robots.asked.clear()
            assert shell("test", form, "--results", "4", "--attach").code == 0, form
            text, count = shown(form, robots.asked)
            assert count == (4 if form in {"telegram", "discord", "wecom"} else 0)
            assert text.count("https://example.com/genbridge-sample-") == 4, text
            assert shell("test", form, "--topic", "task_failed").code == 0
            first, *_, last = shown(form, robots.asked[-1:])[0].splitlines()
            assert first == f"⚠️ genbridge sample {failed}"
            assert last == "genbridge-sample"
        assert shell("test", "form", "--results", "4", "--attach").out.endswith("4 files attached\n")
        assert all(sample_picture(number) in b"".join(each.body for each in robots.asked) for number in range(4))
        assert shell("test", "mail", "--results", "4", "--attach").out.endswith("4 files attached\n")
        assert mailbox.mails[0].count(b"Content-ID: <genbridge-sample-") == 4
