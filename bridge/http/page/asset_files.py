"""The files that pages load: style, script, icon. Their names contain a hash, so browsers may cache them forever."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
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
FOR_GOOD: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class AssetFile:
    url: str
    media_type: str
    content: bytes
    compressed: bytes


@cache
def asset_files() -> Mapping[str, AssetFile]:
    """Every file of the page, by its name without the hash, such as `page.css`."""
    found = {}
    for file in files("bridge.http.page").joinpath("assets").iterdir():
        stem, _, suffix = file.name.rpartition(".")
        if suffix in MEDIA_TYPES:
            content = _compact(file.read_bytes()) if suffix == "css" else file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:10]
            found[file.name] = AssetFile(
                url=f"{PATH}{stem}.{digest}.{suffix}",
                media_type=MEDIA_TYPES[suffix],
                content=content,
                compressed=gzip.compress(content, mtime=0),
            )
    return found


def _compact(style: bytes) -> bytes:
    """The styles without comments and unnecessary spaces."""
    without_comments = re.sub(rb"/\*.*?\*/", b"", style, flags=re.DOTALL).strip()
    return re.sub(rb"\s*([{};,>])\s*|(:)\s+", rb"\1\2", without_comments)


def asset_url(name: str) -> str:
    """The address of a file, with its hash."""
    return asset_files()[name].url


async def send_asset(request: Request) -> Response:
    """Send a file to anybody: it contains nothing from the store."""
    for asset in asset_files().values():
        if request.url.path == asset.url:
            headers = {"Cache-Control": FOR_GOOD, "Vary": "Accept-Encoding"}
            if "gzip" not in request.headers.get("accept-encoding", ""):
                return Response(asset.content, headers=headers, media_type=asset.media_type)
            headers["Content-Encoding"] = "gzip"
            return Response(asset.compressed, headers=headers, media_type=asset.media_type)
    raise HTTPException(HTTPStatus.NOT_FOUND)
