"""The files that pages load: style, script, icon. Their names contain a hash, so browsers may cache them forever."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PATH: Final = "/assets/"
MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
ICONS: Final = ("icon.svg", "icon-needs.svg")
# The parts of `page.css` and `page.js`, in their order: later styles win, and a script starts when all is defined.
STYLES: Final = ("frame", "now", "story", "tables", "narrow", "tasks", "results", "deliveries")
SCRIPTS: Final = ("times", "updates", "stream", "reader", "start")
FOR_GOOD: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class AssetFile:
    url: str
    media_type: str
    content: bytes


@cache
def asset_files() -> Mapping[str, AssetFile]:
    """Every file of the page, by its name without the hash, such as `page.css`."""
    folder = files("bridge.http.page").joinpath("assets")

    def joined(kind: str, names: Sequence[str]) -> bytes:
        return b"".join(folder.joinpath(kind, name).read_bytes() for name in names)

    contents = {
        "page.css": _compact_style(joined("styles", [f"{name}.css" for name in STYLES])),
        "page.js": _compact_script(joined("scripts", [f"{name}.js" for name in SCRIPTS])),
        **{name: folder.joinpath(name).read_bytes() for name in ICONS},
    }
    return {name: _asset_file(name, content) for name, content in contents.items()}


def _asset_file(name: str, content: bytes) -> AssetFile:
    stem, _, suffix = name.rpartition(".")
    return AssetFile(
        url=f"{PATH}{stem}.{hashlib.sha256(content).hexdigest()[:10]}.{suffix}",
        media_type=MEDIA_TYPES[suffix],
        content=content,
    )


def _compact_style(style: bytes) -> bytes:
    """The styles without comments and unnecessary spaces."""
    without_comments = re.sub(rb"/\*.*?\*/", b"", style, flags=re.DOTALL).strip()
    return re.sub(rb"\s*([{};,>])\s*|([:(])\s+", rb"\1\2", without_comments).replace(b";}", b"}")


def _compact_script(script: bytes) -> bytes:
    """The script without indentation, and without lines that are only a comment."""
    return re.sub(rb"^\s*(?://[^\n]*\n)?", b"", script, flags=re.MULTILINE)


def asset_url(name: str) -> str:
    """The address of a file, with its hash."""
    return asset_files()[name].url


async def send_asset(request: Request) -> Response:
    """Send a file to anybody: it contains nothing from the store."""
    for asset in asset_files().values():
        if request.url.path == asset.url:
            return Response(asset.content, headers={"Cache-Control": FOR_GOOD}, media_type=asset.media_type)
    raise HTTPException(HTTPStatus.NOT_FOUND)
