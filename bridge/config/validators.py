"""Validators for single values. Each function returns the value, or raises a ValueError that reads well after a key.

The error never repeats a text that may be secret.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from bridge.config.postgres_url import names_keywords, names_postgres, url_problem
from bridge.domain.listen_address import ListenAddress
from bridge.domain.origins import ascii_host
from bridge.domain.quoting import quoted
from bridge.domain.secret_headers import SCHEMES
from bridge.expressions.hook_url import has_expression, plain_url

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_IN_PROSE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER: Final = r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?"
_WHOLE: Final = r"[+-]?[0-9]{1,18}"
_HEADER: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FRAMING: Final = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})
_OWN_IN_WEBHOOKS: Final = frozenset(
    {"webhook-id", "webhook-timestamp", "webhook-signature", "x-webhook-signature", "content-type"}
)
_ALMOST_POSTGRES: Final = r"(?:jdbc:)?(?:postgres|postgresql|pgsql)(?:\+[a-z0-9]+)?:"
_HOST: Final = r"(?!.{254})(?:(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?)?"  # labels of 1 to 63 characters, or nothing
_SERVICE: Final = r"[A-Za-z][A-Za-z0-9+.-]*://\S"


def name(text: str) -> str:
    """The name of an account or endpoint."""
    if not re.fullmatch(NAME, text):
        raise ValueError(
            f"{quoted(text)} is not a name; use 1 to 64 letters, digits, _ . or -, starting with a letter or digit"
        )
    return text


def number(text: str) -> float:
    """A finite decimal number."""
    if not re.fullmatch(_NUMBER, text):
        raise ValueError(f"{quoted(text)} is not a number")
    return float(text)


def whole(text: str) -> int:
    """A whole decimal number."""
    if not re.fullmatch(_WHOLE, text):
        raise ValueError(f"{quoted(text)} is not a whole number")
    return int(text)


def line(text: str) -> str:
    """One line of text, not empty."""
    if not text.strip():
        raise ValueError("is empty")
    return _without(_CONTROL, text)


def http_url(text: str) -> str:
    """An http or https URL without user info."""
    line(text)
    if any(char.isspace() for char in text) or "\\" in text:
        raise ValueError("contains spaces or backslashes; percent-encode them")
    parts = _split(text)
    if "://" not in text and parts.scheme not in {"http", "https", "file"}:
        raise ValueError("has no scheme; write https://...")
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"scheme {quoted(parts.scheme, limit=20)} is not supported; use http or https")
    if not parts.hostname:
        raise ValueError("has no host")
    if parts.username is not None:
        raise ValueError("contains user info (user:password@); remove it; keys belong in api_key or headers")
    if not f"{parts.path}{parts.query}".isascii():
        raise ValueError("contains characters that a URL cannot have; percent-encode them")
    return text


def base_url(text: str) -> str:
    """An http or https URL to which paths are appended; a final `/` is removed."""
    http_url(text)
    if "?" in text or "#" in text:
        raise ValueError("must not contain a query (?) or a fragment (#)")
    return text.rstrip("/")


def origin(text: str) -> str:
    """Scheme and host, with a port if it is not the default. `*.` matches one or more labels."""
    bare = text.replace("://*.", "://", 1)
    http_url(bare)
    parts = urlsplit(bare)
    if parts.path.strip("/") or parts.query or parts.fragment or "*" in bare:
        raise ValueError("is not an origin; write https://host or https://*.host, without a path")
    return text.rstrip("/")


def listen_address(text: str) -> str:
    """The address on which a server listens: HOST:PORT, or unix: and the path of a socket."""
    address = ListenAddress.parse(line(text))
    if address.port > 65535:
        raise ValueError(f"port {address.port} does not exist; choose one from 1 to 65535, or 0 for any free one")
    return text


def host_name(text: str) -> str:
    """The name or address of a host, without a port."""
    if line(text).count(":") > 1 and "/" not in text:
        text = f"[{text.strip('[]')}]"
    if {" ", "*", ","}.isdisjoint(text):
        host = _split(f"http://{text}").hostname
        if text.lower() in {host, f"[{host}]"}:
            return text.lower().strip("[]")
    raise ValueError("is not a host name; write for example genbridge.example.com, without scheme and port")


def archive_place(text: str) -> str:
    """A folder, or s3:// with a bucket and a prefix."""
    if "://" not in line(text) and not text.lower().startswith("s3:"):
        return file_path(text)
    parts = _split(text)
    if parts.scheme != "s3":
        raise ValueError(
            f"scheme {quoted(parts.scheme, limit=20)} is not supported; use a folder or s3://bucket/prefix"
        )
    if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc or ".." in parts.path.split("/"):
        raise ValueError("is not a bucket; write s3://bucket/prefix")
    return text.rstrip("/")


def allowed_host(text: str) -> str:
    """A host, an address, or a network such as 192.168.1.0/24."""
    from ipaddress import ip_network  # imported here, because quick commands do not need it

    from bridge.domain.result_urls import plain_host

    if "/" not in line(text):
        return plain_host(host_name(text))
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError(f"is not a network: {error}; write for example 192.168.1.0/24") from None


def proxy_url(text: str) -> str:
    """An http or https proxy, with or without user info. `none` means that the environment's proxies are ignored."""
    line(text)
    if text.lower() == "none":
        return "none"
    parts = _split(text)
    is_bare = parts.path in {"", "/"} and not parts.query and not parts.fragment
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_bare or any(map(str.isspace, text)):
        raise ValueError("is not a proxy; write http://host:port, http://user:password@host:port or none")
    return text


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        if "port" in str(error).lower():
            raise ValueError("has a port that is not between 1 and 65535") from None
        raise ValueError("is not a URL") from None
    if port == 0:
        raise ValueError("has a port that is not between 1 and 65535")
    host = parts.hostname or ""
    try:
        name = ascii_host(host)
    except UnicodeError:
        raise ValueError("has an invalid host; write a name such as api.example.com") from None
    if ":" not in host and not re.fullmatch(_HOST, name):
        raise ValueError("has an invalid host; write a name such as api.example.com")
    return parts


def token(text: str) -> str:
    """The value of a header: printable ASCII without spaces at either end."""
    line(text)
    if not text.isascii() or text != text.strip():
        raise ValueError("must be printable ASCII without spaces at either end")
    return text


def scheme_problem(key: str) -> str | None:
    """Why a key must not be sent after a scheme: it begins with one. Otherwise None."""
    found = re.match(rf"({SCHEMES})\s", key, re.IGNORECASE)
    return f'begins with "{found[1]}"; write only the key: genbridge adds the word before it' if found else None


def key(text: str) -> str:
    """A key that is sent after a scheme."""
    if (why := scheme_problem(text)) is not None:
        raise ValueError(why)
    return token(text)


def header_name(text: str) -> str:
    """The name of a header that the transport does not set itself."""
    if not re.fullmatch(_HEADER, text):
        raise ValueError(f"{quoted(text)} is not a valid header name")
    if text.lower() in _FRAMING:
        raise ValueError(f"the header {text} is set by genbridge itself; remove it")
    return text


def webhook_header_name(text: str) -> str:
    """The name of a header that genbridge does not set itself in webhooks."""
    if text.lower() in _OWN_IN_WEBHOOKS:
        raise ValueError(f"the header {text} is set by genbridge itself; remove it")
    return header_name(text)


def signing_secret(text: str) -> str:
    """`whsec_` and the base64 of 24 to 64 bytes (Standard Webhooks 1.0.0)."""
    hint = "write whsec_ and the base64 of 24 to 64 random bytes"
    if not text.startswith("whsec_"):
        raise ValueError(f"does not start with whsec_; {hint}")
    import base64  # imported here, because quick commands do not need it

    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ValueError(f"is not base64 after whsec_; {hint}") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"holds {len(key)} bytes; {hint}")
    return text


def service_url(text: str) -> str:
    """The URL of a chat service."""
    line(text)
    if not re.match(_SERVICE, text):
        raise ValueError("is not a service URL; write for example tgram://TOKEN/CHAT, see Apprise's list of services")
    return without_retries(text)


def expression(text: str) -> str:
    """A JMESPath expression. It is compiled by its user."""
    if not text.strip():
        raise ValueError("is empty")
    return text


def chat_id(text: str) -> str:
    """A Telegram chat: its number, or the public name of a channel or group."""
    if not re.fullmatch(r"-?[0-9]{1,18}|@[A-Za-z][A-Za-z0-9_]{2,63}", text):
        raise ValueError("is not a chat; write its number, e.g. -1001234567890, or the @name of a public channel")
    return text


def thread_id(text: str) -> str:
    """A topic of a Telegram group."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError("is not the number of a topic")
    return text


def timezone(text: str) -> str:
    """`local`, or the name of a time zone that this machine knows."""
    if text == "local":
        return text
    from zoneinfo import ZoneInfo  # imported here, because quick commands do not need it

    try:
        ZoneInfo(line(text))
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"{quoted(text)} is not a time zone this machine knows; write local, UTC or a name like Asia/Shanghai"
        ) from None
    return text


def without_retries(text: str) -> str:
    """A service URL without Apprise's own retries, which would be lost in a crash."""
    for key, _ in parse_qsl(text.partition("?")[2], keep_blank_values=True):
        if key.strip().lower() in {"retry", "wait"}:
            raise ValueError(f'remove "{key.strip()}=": genbridge retries by itself, see delivery.retries')
    return text


def file_path(text: str) -> str:
    """A path to a file or folder."""
    if _is_url(text):
        raise ValueError("must be a path, not a URL")
    return line(text)


def _is_url(text: str) -> bool:
    return "://" in text or text.startswith("file:")


def store_file(text: str) -> str:
    """A path to the store, or a connection string for PostgreSQL."""
    if names_postgres(text):
        if wrong := url_problem(line(text)):
            raise ValueError(wrong)
        return text
    if names_keywords(text):
        raise ValueError(
            "is in the keyword format of libpq; write postgresql://USER:${PASSWORD}@HOST:PORT/DATABASE?sslmode=..."
        )
    if re.match(_ALMOST_POSTGRES, text, re.IGNORECASE):
        raise ValueError("a store in PostgreSQL is written postgresql://USER@HOST/DATABASE")
    if _is_url(text):
        raise ValueError("must be a path (SQLite) or postgresql://USER@HOST/DATABASE, not another URL")
    return line(text)


def hook_url(text: str) -> str:
    """An http or https URL; path and query may contain Jinja expressions."""
    http_url(plain_url(line(text)) if has_expression(text) else text)
    return text


def prose(text: str) -> str:
    """A text that may have several lines, such as a template. It is compiled by its user."""
    return _without(_CONTROL_IN_PROSE, text)


def _without(refused: re.Pattern[str], text: str) -> str:
    if (found := refused.search(text)) is not None:
        raise ValueError(f"contains the control character U+{ord(found[0]):04X}")
    return text
