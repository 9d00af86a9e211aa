"""A real Matrix homeserver (Synapse) on loopback, and users in its rooms who read the messages."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
import trustme

from tests.sinks.receivers import free_port, program

NAME: Final = "studio.example"
PASSWORD: Final = "a-password"
_SECRET: Final = "registration-secret"
_ANY_NUMBER: Final = {"per_second": 10_000, "burst_count": 10_000}
_LOG: Final = {"version": 1, "root": {"level": "WARNING"}}


@dataclass(frozen=True)
class MatrixUser:
    client: httpx.Client
    user_id: str

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Call the client API, and return its answer."""
        answer = self.client.request(method, f"/_matrix/client/v3{path}", json=None if method == "GET" else body)
        assert answer.is_success, answer.text
        return answer.json()

    def room_with(self, *others: MatrixUser, version: str | None = None) -> str:
        """Create a room that the others join. Its version is the server's default unless `version` is given."""
        wanted = {} if version is None else {"room_version": version}
        invited = [other.user_id for other in others]
        room = str(self.call("POST", "/createRoom", preset="private_chat", invite=invited, **wanted)["room_id"])
        for other in others:
            other.call("POST", f"/join/{quote(room)}")
        return room

    def messages(self, room: str, *, kind: str = "m.room.message") -> list[dict[str, Any]]:
        """The events of this kind in a room, in order."""
        chunk = self.call("GET", f"/rooms/{quote(room)}/messages?dir=f&limit=1000")["chunk"]
        return [event for event in chunk if event["type"] == kind]

    def download(self, mxc: str) -> bytes:
        """The file at an mxc: address."""
        answer = self.client.get(f"/_matrix/client/v1/media/download/{mxc.removeprefix('mxc://')}")
        assert answer.is_success, answer.text
        return answer.content


@dataclass(frozen=True)
class MatrixServer:
    """A homeserver that answers with and without TLS. `ca_file` has the authority of its certificate."""

    port: int
    tls_port: int
    ca_file: Path

    @contextmanager
    def user(self, name: str) -> Iterator[MatrixUser]:
        """Register a user. This needs the shared secret, because registration is closed."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30) as client:
            nonce = client.get("/_synapse/admin/v1/register").json()["nonce"]
            signed = "\0".join([nonce, name, PASSWORD, "notadmin"]).encode()
            mac = hmac.new(_SECRET.encode(), signed, hashlib.sha1).hexdigest()
            wanted = {"nonce": nonce, "username": name, "password": PASSWORD, "admin": False, "mac": mac}
            account = client.post("/_synapse/admin/v1/register", json=wanted).json()
            client.headers["authorization"] = f"Bearer {account['access_token']}"
            yield MatrixUser(client, account["user_id"])


@contextmanager
def synapse(folder: Path) -> Iterator[MatrixServer]:
    """A homeserver with an empty SQLite store."""
    found = os.environ.get("GENBRIDGE_SYNAPSE") or shutil.which("synapse_homeserver")
    if not found or not Path(found).exists():
        pytest.skip(
            "no Matrix server here (install the Python package matrix-synapse into an environment of its own, and name "
            "its synapse_homeserver in GENBRIDGE_SYNAPSE)"
        )
    authority = trustme.CA()
    server = MatrixServer(port=free_port(), tls_port=free_port(), ca_file=folder / "ca.pem")
    authority.cert_pem.write_to_path(str(server.ca_file))
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    settings = folder / "homeserver.yaml"  # JSON is YAML
    settings.write_text(json.dumps(_settings(folder, server)))
    (folder / "log.yaml").write_text(json.dumps(_LOG))
    log = folder / "synapse.log"
    with program(found, "--config-path", str(settings), log=log) as process:
        _wait_for(server, process, log)
        yield server


def _settings(folder: Path, server: MatrixServer) -> Mapping[str, Any]:
    resources = [{"names": ["client", "media"], "compress": False}]
    listener = {"type": "http", "bind_addresses": ["127.0.0.1"], "resources": resources}
    limits = ("rc_message", "rc_media_create", "rc_registration", "rc_room_creation", "rc_presence")
    return {
        "server_name": NAME,
        "listeners": [{**listener, "port": server.port}, {**listener, "port": server.tls_port, "tls": True}],
        "tls_certificate_path": str(folder / "certificate.pem"),
        "tls_private_key_path": str(folder / "key.pem"),
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "media_store_path": str(folder / "media"),
        "pid_file": str(folder / "synapse.pid"),
        "log_config": str(folder / "log.yaml"),
        "signing_key": f"ed25519 a_test {'A' * 43}",
        "macaroon_secret_key": "not secret",
        "form_secret": "not secret",
        "registration_shared_secret": _SECRET,
        "enable_registration": False,
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "rc_login": {"address": _ANY_NUMBER, "account": _ANY_NUMBER, "failed_attempts": _ANY_NUMBER},
        "rc_joins": {"local": _ANY_NUMBER, "remote": _ANY_NUMBER},
        "rc_invites": {"per_room": _ANY_NUMBER, "per_user": _ANY_NUMBER, "per_issuer": _ANY_NUMBER},
        **dict.fromkeys(limits, _ANY_NUMBER),
    }


def _wait_for(server: MatrixServer, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + 60
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < give_up_at:
            assert process.poll() is None, log.read_text()
            try:
                if client.get(f"http://127.0.0.1:{server.port}/_matrix/client/versions").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
    raise AssertionError(f"no answer within 60 s: {log.read_text()}")
