"""What `check` reports about `http.listen`."""

from __future__ import annotations

from bridge.config.load import Loaded
from bridge.domain.finding import Finding, Level
from bridge.domain.listen_address import ListenAddress
from bridge.errors import ConfigError, GenbridgeError, UsageError


def listen_finding(loaded: Loaded, *, is_shared: bool) -> Finding | None:
    """Whether `genbridge run` could listen there; None without `http`. Leaves nothing behind.

    A problem is only a warning if a daemon on a shared store may listen there already (`is_shared`), and below /run,
    where the service manager makes the folder.
    """
    http = loaded.settings.http
    if http is None:
        return None
    from bridge.net.http_server import check_port, check_unix  # imported here, because only `http` needs it

    address = ListenAddress.parse(http.listen)
    try:
        if address.path:
            check_unix(loaded.under(address.path))
        else:
            check_port(address.host, address.port)
    except GenbridgeError as error:
        is_sure = not is_shared and not address.path.startswith("/run/")
        level = Level.ERROR if is_sure else Level.WARNING
        code = ConfigError.exit_code if isinstance(error, UsageError) else error.exit_code  # that of `run`
        return Finding(level, "http.listen", str(error), code)
    return Finding(Level.OK, "http.listen", f"{address} can be used")
