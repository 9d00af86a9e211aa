"""The chat services that genbridge knows, one file each. A new one is a file here and a line in `CHAT_SERVICES`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from bridge.sinks.answers import AnswerReader
from bridge.sinks.chat_services.apprise_only import BARK, MAIL, MATRIX, MQTT, NTFY, PUSHDEER, SERVERCHAN
from bridge.sinks.chat_services.chat_service import ChatService, Robot
from bridge.sinks.chat_services.dingtalk import DINGTALK
from bridge.sinks.chat_services.discord import DISCORD
from bridge.sinks.chat_services.feishu import FEISHU
from bridge.sinks.chat_services.slack import SLACK
from bridge.sinks.chat_services.telegram import TELEGRAM
from bridge.sinks.chat_services.wecom import WECOM

CHAT_SERVICES: Final[tuple[ChatService, ...]] = (
    FEISHU,
    DINGTALK,
    WECOM,
    SLACK,
    DISCORD,
    TELEGRAM,
    SERVERCHAN,
    PUSHDEER,
    BARK,
    NTFY,
    MAIL,
    MATRIX,
    MQTT,
)
ROBOTS: Final[Mapping[str, Robot]] = {
    service.name: service.robot for service in CHAT_SERVICES if service.robot is not None
}
"""The robot formats, by their names in the settings."""

READERS: Final[Mapping[str, AnswerReader]] = {service.name: service.read for service in CHAT_SERVICES}
"""The reader for the answers of each service, by its name."""


def service_of(schemes: Collection[str]) -> ChatService | None:
    """The service whose Apprise URLs have one of these schemes."""
    return next((each for each in CHAT_SERVICES if not each.apprise.schemes.isdisjoint(schemes)), None)


def reader_at(host: str, schemes: Collection[str]) -> AnswerReader | None:
    """The reader for an answer to a request that an Apprise plugin with these schemes sent to this host; None: the
    service is unknown. A self-hosted service is recognized by its scheme only."""
    found = service_of(schemes)
    if found is None or not found.apprise.ignores_refusals:
        found = next((each for each in CHAT_SERVICES if each.name_at(host)), None)
    return None if found is None else found.read


def host_warning(url: str, format: str) -> str | None:
    """The format to use if a webhook of this format points to a chat service; None if the format is right."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower().rstrip(".")
    for service in CHAT_SERVICES:
        name = service.name_at(host)
        if name and parts.path.startswith(service.path):
            # Discord also accepts Slack's messages, at addresses that end with /slack.
            if format == service.name or (format == "slack" and parts.path.endswith("/slack")):
                return None
            use = f"format: {service.name}" if service.robot else f"type: apprise with the URL {service.apprise.url}"
            return f"this is an address of {name}, which refuses other messages, often with HTTP 200; use {use}"
    return None


def probe_url(format: str, url: str) -> str | None:
    """A URL whose GET shows whether a robot exists, without notifying anybody; None if the service has no such URL."""
    robot = ROBOTS.get(format)
    return None if robot is None or robot.probe_url is None else robot.probe_url(url.partition("?")[0])
