"""The address on which a server listens: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, NamedTuple

UNIX: Final = "unix:"
ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
"""The hosts of a server that listens on all addresses, each with the one that reaches it from this machine."""


class ListenAddress(NamedTuple):
    """A host with its port (0: any free one), or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Parse an address. ValueError says what is wrong with it."""
        if text.startswith(UNIX):
            path = text.removeprefix(UNIX)
            if not path:
                raise ValueError("unix: needs the path of a socket, such as unix:/run/genbridge/http.sock")
            return cls(path=path)
        host, _, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not bare or not (port.isascii() and port.isdigit()) or (":" in bare and bare == host):
            raise ValueError("is not an address to listen on: write HOST:PORT, such as 127.0.0.1:8642")
        return cls(host=bare, port=int(port[:9]))

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return bool(self.path) or is_loopback(self.host)

    @property
    def reached_from_here(self) -> ListenAddress:
        """The same server, at an address for requests of this machine."""
        return self._replace(host=ANY_HOST.get(self.host, self.host))

    def __str__(self) -> str:
        if self.path:
            return UNIX + self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, or a loopback address."""
    try:
        return host.lower() == "localhost" or ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
