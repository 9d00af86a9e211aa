"""Whether a base URL fits the paths of its provider, and what to do if the provider does not know the address."""

from __future__ import annotations

from itertools import takewhile
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from bridge.domain.task import Reading, ReadingKind
from bridge.providers.description import Description

PLACE: Final = "{"


class Repeated(NamedTuple):
    """The end of a base URL that repeats the beginning of the provider's path, and the base URL without it."""

    part: str
    base_url: str


def repeated_path(description: Description, base_url: str) -> Repeated | None:
    """The text that ends the base URL and also begins the path, as in `https://HOST/v1` with `/v1/videos/ID`."""
    parts = urlsplit(base_url)
    base = [segment for segment in parts.path.split("/") if segment]
    for path in description.route(base_url).path:
        segments = [segment for segment in path.split("/") if segment] if path.startswith("/") else []
        begin = list(takewhile(lambda segment: PLACE not in segment, segments))
        for length in range(min(len(base), len(begin)), 0, -1):
            if base[-length:] == begin[:length]:
                shorter = "/".join(["", *base[:-length]])
                return Repeated("/" + "/".join(base[-length:]), urlunsplit(parts._replace(path=shorter)))
    return None


TO_DO: Final = {
    ReadingKind.AUTH_ERROR: "the provider refuses the key; check the key, and whether it belongs to this base_url",
    ReadingKind.ACCOUNT_ERROR: "the key works, but the account does not; check its balance and rights at the provider",
    ReadingKind.RATE_LIMITED: "the provider asks for a wait; check again later",
}

SAYS_WHAT_TO_DO: Final = ("the certificate of ", "no TLS connection with ", " TLS (", "this network requires ")


def advice(description: Description, base_url: str, reading: Reading) -> str:
    """What to do after this answer to a poll of a task that does not exist; "" for nothing."""
    if reading.kind in TO_DO:
        return TO_DO[reading.kind]
    if any(words in reading.detail for words in SAYS_WHAT_TO_DO):
        return ""
    if reading.server_trouble:
        return f"check {'proxy' if 'the proxy ' in reading.detail else 'base_url'}, or try again later"
    if reading.kind not in {ReadingKind.NO_ROUTE, ReadingKind.TRANSIENT} and not reading.is_vague:
        return ""
    repeated = repeated_path(description, base_url)
    if repeated is not None:
        return f"set base_url to {repeated.base_url}: the provider's path already begins with {repeated.part}"
    if "redirected to" in reading.detail:
        return "set base_url to the address that it redirects to"
    if reading.is_vague and reading.kind is not ReadingKind.NO_ROUTE:
        return "this is normal, because the task id is made up; but a wrong base_url or action gives the same answer"
    return "check base_url and action: this is not the address of the provider's API"
