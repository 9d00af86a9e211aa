"""The security headers of every answer: browsers run no scripts, embed nothing, and send no Referer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

ALWAYS: Final = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def content_policy(previews: Sequence[str]) -> str:
    """The Content-Security-Policy. In addition to their own origin, pages may show pictures and play files from these
    origins."""
    shown = " ".join(("'self'", *previews))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src {shown}; media-src {shown}; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


def with_security_headers(send: Send, previews: Sequence[str]) -> Send:
    """A `send` that adds these headers to every answer that does not set them itself."""
    policy = content_policy(previews)

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", policy)
            for name, value in ALWAYS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
