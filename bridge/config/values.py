"""Single values of the settings, from text: each function returns the value or raises ValueError with words that fit
behind a key, and never repeats a text that may be secret."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bridge.config.place import names_postgres
from bridge.domain.text import quoted

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
ACTION: Final = r"^[A-Za-z0-9]+([_.-][A-Za-z0-9]+)*(/[A-Za-z0-9]+([_.-][A-Za-z0-9]+)*){0,3}$"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_IN_PROSE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING: Final = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})
_OWN_IN_WEBHOOKS: Final = frozenset(
    {"webhook-id", "webhook-timestamp", "webhook-signature", "x-webhook-signature", "content-type"}
)
_SERVICE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S")


def name(text: str) -> str:
    """A name of an account or endpoint."""
    if not re.fullmatch(NAME, text):
        raise ValueError(
            f"{quoted(text)} cannot be a name; use 1 to 64 letters, digits, _ . or -, a letter or digit first"
        )
    return text


def action(text: str) -> str:
    """The part of a query that names the kind of task; what it may be is the provider's business."""
    if not re.fullmatch(ACTION, text):
        raise ValueError("is no action; write words with - or / between them, e.g. videos/text2video")
    return text


def number(text: str) -> float:
    """A finite decimal number."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a number")
    return float(text)


def whole(text: str) -> int:
    """A whole decimal number."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a whole number")
    return int(text)


def one_of(text: str, known: Iterable[str], what: str) -> str:
    """One of the known words."""
    words = list(known)
    if text not in words:
        raise ValueError(unknown(what, text, words))
    return text


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """`unknown topic "task_fail"; did you mean "task_failed"?`, or what there is when nothing comes near."""
    words = sorted(known)
    near = difflib.get_close_matches(given[:100], words, n=1)
    if near:
        return f'unknown {what} {quoted(given)}; did you mean "{near[0]}"?'
    some = ", ".join(words[:12]) + (", ..." if len(words) > 12 else "")
    return f"unknown {what} {quoted(given)}; " + (f"there are: {some}" if words else "there are none")


def line(text: str) -> str:
    """One line of text that is not empty."""
    if not text.strip():
        raise ValueError("is empty")
    found = _CONTROL.search(text)
    if found is not None:
        raise ValueError(f"holds the control character U+{ord(found[0]):04X}")
    return text


def http_url(text: str) -> str:
    """An http or https URL without user info."""
    line(text)
    if any(char.isspace() for char in text) or "\\" in text:
        raise ValueError("holds blanks or backslashes; percent-encode them")
    parts = _split(text)
    if "://" not in text and parts.scheme not in {"http", "https", "file"}:
        raise ValueError("has no scheme; write https://...")
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"scheme {quoted(parts.scheme, limit=20)} is not supported; use http or https")
    if not parts.hostname:
        raise ValueError("has no host")
    if parts.username is not None:
        raise ValueError("holds user info (user:password@); use api_key or headers")
    if not f"{parts.path}{parts.query}".isascii():
        raise ValueError("holds characters that no URL has; percent-encode them")
    return text


def base_url(text: str) -> str:
    """An http or https URL that paths can be added to; its last `/` is dropped."""
    http_url(text)
    if "?" in text or "#" in text:
        raise ValueError("must end before the query (?) and the fragment (#)")
    return text.rstrip("/")


def origin(text: str) -> str:
    """Scheme and host, and a port where it is not the usual one; `*.` may stand for one label or more."""
    bare = text.replace("://*.", "://", 1)
    http_url(bare)
    parts = urlsplit(bare)
    if parts.path.strip("/") or parts.query or parts.fragment or "*" in bare:
        raise ValueError("is no origin; write https://host or https://*.host, without a path")
    return text.rstrip("/")


def proxy_url(text: str) -> str:
    """An http or https proxy, with or without user info."""
    line(text)
    parts = _split(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(char.isspace() for char in text):
        raise ValueError("is no proxy; write http://host:port or http://user:password@host:port")
    return text


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        if "port" in str(error).lower():
            raise ValueError("has a port that is not between 1 and 65535") from None
        raise ValueError("is no URL") from None
    if port == 0:
        raise ValueError("has a port that is not between 1 and 65535")
    # A dot without a name beside it ("https://.") or an impossible label fails at every request: say so now.
    host = parts.hostname or ""
    if ":" not in host and any(not label or len(label) > 63 for label in host.removesuffix(".").split(".") if host):
        raise ValueError("has a host that cannot be")
    if not host.isascii():
        try:
            host.encode("idna")
        except UnicodeError:
            raise ValueError("has a host that cannot be") from None
    return parts


def token(text: str) -> str:
    """What goes into a header: printable ASCII without blanks at its ends."""
    line(text)
    if not text.isascii() or text != text.strip():
        raise ValueError("must be printable ASCII without blanks at its ends")
    return text


def header_name(text: str) -> str:
    """The name of a header that is not the transport's own."""
    if not _HEADER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no name of a header")
    if text.lower() in _FRAMING:
        raise ValueError(f"the header {text} is set by genbridge itself")
    return text


def webhook_header_name(text: str) -> str:
    """The name of a header that a webhook does not carry anyway."""
    if text.lower() in _OWN_IN_WEBHOOKS:
        raise ValueError(f"the header {text} is set by genbridge itself")
    return header_name(text)


def signing_secret(text: str) -> str:
    """`whsec_` and the base64 of 24 to 64 bytes (Standard Webhooks 1.0.0)."""
    hint = "write whsec_ and the base64 of 24 to 64 random bytes"
    if not text.startswith("whsec_"):
        raise ValueError(f"does not begin with whsec_; {hint}")
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is not base64 after whsec_; {hint}") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"holds {len(key)} bytes; {hint}")
    return text


def service_url(text: str) -> str:
    """A URL of a chat service."""
    line(text)
    if not _SERVICE.match(text):
        raise ValueError("is no service URL; write e.g. tgram://TOKEN/CHAT, see Apprise's list of services")
    return without_retries(text)


def without_retries(text: str) -> str:
    """A service URL that does not ask Apprise to retry in memory: our own retries outlive a crash."""
    for key, _ in parse_qsl(text.partition("?")[2], keep_blank_values=True):
        if key.strip().lower() in {"retry", "wait"}:
            raise ValueError(
                f'drop "{key.strip()}=": genbridge retries by itself and remembers it (see delivery.retries)'
            )
    return text


def file_path(text: str) -> str:
    """A path to a file or folder."""
    line(text)
    if "://" in text or text.startswith("file:"):
        raise ValueError("must be a path, not a URL")
    return text


def store_file(text: str) -> str:
    """A path to the store, or a connection string for PostgreSQL."""
    if names_postgres(text):
        return line(text)
    if text.startswith(("postgresql:", "postgres:")):
        raise ValueError("a store in PostgreSQL is written postgresql://USER@HOST/DATABASE")
    return file_path(text)


def template(text: str) -> str:
    """A Jinja template that parses and reaches for nothing behind its values."""
    found = _CONTROL_IN_PROSE.search(text)
    if found is not None:
        raise ValueError(f"holds the control character U+{ord(found[0]):04X}")
    try:
        tree = _ENVIRONMENT.parse(text)
        takes_in = next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None)
        hidden = next((reached for reached in _reached(tree) if reached.startswith("_")), None)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"is no Jinja template: {error.message} (its line {error.lineno})") from None
    except (RecursionError, OverflowError, ValueError):
        raise ValueError("is no Jinja template: too complicated") from None
    if takes_in is not None:
        raise ValueError(f"a template cannot take in other files (its line {takes_in.lineno})")
    if hidden is not None:
        raise ValueError(f"the template reaches for {quoted(hidden)}, which is not offered")
    return text


# Only parses here: where templates are rendered, what comes from outside is made harmless.
_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(autoescape=False)


def _reached(tree: nodes.Template) -> Iterable[str]:
    """The names of attributes and items, literal ones, that a template asks for, by whatever notation."""
    for attribute in tree.find_all(nodes.Getattr):
        yield attribute.attr
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item.arg.value
    for call in tree.find_all(nodes.Filter):
        if call.name == "attr":
            yield from (arg.value for arg in call.args if isinstance(arg, nodes.Const) and isinstance(arg.value, str))
