"""Servers that receive chat messages: a mail server, and an MQTT broker with a subscriber."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.sinks.receivers import (
    free_port,
    program,
    until_listening,
)


class _Mailbox:
    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope.content)
        return "250 taken"


@contextmanager
def smtp_server() -> Iterator[tuple[int, _Mailbox]]:
    mailbox = _Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller.port, mailbox
    finally:
        controller.stop()


@asynccontextmanager
async def mosquitto(folder: Path, *, port: int | None = None, is_open: bool = True) -> AsyncIterator[int]:
    """A broker of our own on a free port. Unless it is open, it refuses every login."""
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if binary is None:
        pytest.skip("no MQTT broker here (install mosquitto)")
    port = port or free_port()
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous {str(is_open).lower()}\npersistence false\n")
    with program(binary, "-c", str(settings), log=folder / "mosquitto.log") as process:
        await until_listening(port, process)
        yield port


class Subscriber:
    """Records what the broker forwards."""

    def __init__(self, port: int, topic: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[str] = []
        self.is_ready = False
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda *said: self.messages.append(said[2].payload.decode())
        self._client.on_subscribe = lambda *said: setattr(self, "is_ready", True)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic, qos=1)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
