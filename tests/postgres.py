"""A real PostgreSQL server for tests: the one in $GENBRIDGE_TEST_POSTGRES, or one on loopback that they start.

Its URL has the form of `Server.url`, including the password, because tests search for that word where it must not be.
The role may create schemas and roles.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.store.statements import TABLES

ADDRESS: Final = "GENBRIDGE_TEST_POSTGRES"
BINARIES: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
# With these settings, only a power cut can lose data. A killed process loses nothing. Shared memory is a file in the
# data folder, because a killed server would leave it in /dev/shm.
QUICK: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "dynamic_shared_memory_type": "mmap",
}

STANDBY: Final = "standby"
KEYS: Final = {"watches": "watch_id", "history": "history_id", "deliveries": "delivery_id"}


class Server:
    """A server with its own data folder. Its user is not root, which initdb refuses."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str] = QUICK) -> None:
        self.folder = folder
        self.port = _free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://genbridge:sesame-open@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def make(self) -> None:
        """Create the data folder."""
        self.folder.mkdir(parents=True)
        password = self.folder / "password"
        password.write_text("sesame-open\n")
        if os.geteuid() == 0:
            for path in (self.folder, password):
                shutil.chown(path, "postgres", "postgres")
        how = ["-U", "genbridge", "-A", "scram-sha-256", "--pwfile", str(password), "-E", "UTF8", "--no-sync"]
        subprocess.run(
            self._as_postgres(["initdb", "-D", str(self.folder / "data"), "--no-locale", *how]),
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def make_standby_of(self, primary: Server) -> None:
        """Copy the primary's data folder. Once started, this server replicates it."""
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        whom = ["-d", f"{primary.url}?application_name={STANDBY}", "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        subprocess.run(self._as_postgres(["pg_basebackup", "-D", str(self.folder / "data"), *whom]), check=True)

    def promote(self) -> None:
        """Make a standby the primary. Returns when it accepts writes."""
        command = ["pg_ctl", "promote", "-w", "-D", str(self.folder / "data")]
        subprocess.run(self._as_postgres(command), check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Start the server. Returns when it accepts connections."""
        given = {**self._settings, "unix_socket_directories": "", "listen_addresses": "127.0.0.1"}
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        command = ["postgres", "-D", str(self.folder / "data"), "-p", str(self.port), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._as_postgres(command), stdout=log, stderr=log)
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop the server and abort running statements. With `at_once`, it crashes."""
        if self._process is None or self._process.poll() is not None:  # it may have ended already
            self._process = None
            return
        number = 9 if at_once else 2  # SIGINT: a fast shutdown
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        os.kill(self._process.pid, number)
        self._process.wait(timeout=30)
        self._process = None
        until = time.monotonic() + 30  # a server does not start while processes of an earlier one are left
        while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < until:
            time.sleep(0.01)

    @staticmethod
    def _as_postgres(command: Sequence[str]) -> list[str]:
        program = [str(BINARIES[-1] / command[0]), *command[1:]]
        if os.geteuid() != 0:
            return program
        # The server ends with the test run, even if that crashes.
        return [
            *("setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--pdeathsig", "INT"),
            *program,
        ]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def own_server(*, settings: Mapping[str, str] = QUICK) -> Iterator[Server]:
    """A server that a test may stop and kill. Skips the test where PostgreSQL is not installed."""
    if not BINARIES:
        pytest.skip("no PostgreSQL here (install postgresql)")
    with tempfile.TemporaryDirectory(prefix="genbridge-pg-") as name:
        Path(name).chmod(0o755)
        server = Server(Path(name) / "pg", settings=settings)
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def own_standby(primary: Server) -> Iterator[Server]:
    """A synchronous standby: from now on the primary acknowledges a commit only when the standby has it."""
    with tempfile.TemporaryDirectory(prefix="genbridge-pg-") as name:
        Path(name).chmod(0o755)
        standby = Server(Path(name) / "pg")
        standby.make_standby_of(primary)
        try:
            standby.start()
            with psycopg.connect(primary.url, autocommit=True) as connection:
                connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
                connection.execute("SELECT pg_reload_conf()")
                until = time.monotonic() + 30
                while connection.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").rowcount == 0:
                    assert time.monotonic() < until, (standby.folder / "log").read_text()
                    time.sleep(0.05)
            yield standby
        finally:
            standby.stop()


@contextmanager
def own_schema(server: str) -> Iterator[PostgresUrl]:
    """The URL of a new, empty schema for one store."""
    name = f"t_{os.urandom(6).hex()}"
    _do(server, f"CREATE SCHEMA {name}")
    try:
        sign = "&" if "?" in server else "?"
        yield PostgresUrl(f"{server}{sign}options={quote(f'-csearch_path={name}')}")
    finally:
        _do(server, f"DROP SCHEMA {name} CASCADE")


def wipe(place: PostgresUrl) -> None:
    """Empty a store, which is quicker than creating one."""
    statements = [f"DELETE FROM {table}" for table in (*reversed(list(TABLES)), "shares", "members", "writers")]
    statements += ["UPDATE genbridge_store SET revision = 0, touched = 0"]
    statements += [f"ALTER TABLE {table} ALTER {key} RESTART" for table, key in KEYS.items()]
    _do(place.reveal(), "; ".join(statements))


def _do(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
