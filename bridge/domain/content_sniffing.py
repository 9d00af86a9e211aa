"""The type of a file, from its first bytes: servers often state a wrong type, and send error pages with status 200."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final, NamedTuple
from urllib.parse import urlsplit

HEAD_BYTES: Final = 4096  # enough to recognize a type
UNKNOWN: Final = "application/octet-stream"
MEDIA: Final = frozenset({"videos", "images", "audios"})

_EXTENSIONS: Final = {
    **{"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/bmp": "bmp", "image/tiff": "tiff"},
    **{"image/webp": "webp", "image/avif": "avif", "image/heic": "heic", "image/svg+xml": "svg"},
    **{"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm", "video/x-matroska": "mkv"},
    **{"video/x-msvideo": "avi", "video/x-flv": "flv", "video/mpeg": "mpg"},
    **{"audio/mpeg": "mp3", "audio/mp4": "m4a", "audio/aac": "aac", "audio/flac": "flac", "audio/ogg": "ogg"},
    **{"audio/wav": "wav", "audio/midi": "mid", "model/gltf-binary": "glb"},
    **{"application/pdf": "pdf", "application/zip": "zip", "application/gzip": "gz", "application/json": "data.json"},
    **{"text/html": "html", "text/plain": "txt", "application/xml": "xml"},
}
MEDIA_TYPES: Final = {extension: media_type for media_type, extension in _EXTENSIONS.items()}
"""The media type for each extension of a copy."""

_AT_START: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF8",),
    "image/bmp": (b"BM",),
    "image/tiff": (b"II*\x00", b"MM\x00*"),
    "video/x-matroska": (b"\x1a\x45\xdf\xa3",),
    "video/x-flv": (b"FLV\x01",),
    "video/mpeg": (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"),
    "audio/mpeg": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa"),
    "audio/aac": (b"\xff\xf1", b"\xff\xf9"),
    "audio/flac": (b"fLaC",),
    "audio/ogg": (b"OggS",),
    "audio/midi": (b"MThd",),
    "model/gltf-binary": (b"glTF",),
    "application/pdf": (b"%PDF-",),
    "application/zip": (b"PK\x03\x04",),
    "application/gzip": (b"\x1f\x8b",),
}
_BRANDS: Final = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"mif1", b"hevc"), "image/heic"),
    **dict.fromkeys((b"M4A ", b"M4B "), "audio/mp4"),
    b"qt  ": "video/quicktime",
}
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}

_HTML: Final = re.compile(rb"<(?:!doctype\s+html|html|head|body|script|title|meta|iframe|h1|p|div)\b", re.IGNORECASE)
_LEADING: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s+|<!--.*?-->|<\?xml.*?\?>|<!doctype\s+svg.*?>)*", re.DOTALL | re.I
)
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,8}")
_VAGUE: Final = frozenset(
    {None, "application/zip", "text/plain", "application/json", "application/xml"}
)  # many formats
PROGRAMS: Final = frozenset({"php", "phtml", "phar", "asp", "aspx", "ashx", "jsp", "jspx", "cgi", "shtml", "do"})
"""Endings of URLs that name the server's program, not the format of the file."""
_TAKEN: Final = PROGRAMS | {"html", "htm", "xhtml", "svg", "json"}  # only for files of these types


class FileType(NamedTuple):
    """The type of a file, and the extension of its copy."""

    media_type: str
    extension: str


class WrongContent(Exception):
    """The content is not the requested result. The text is one line for people."""


def sniffed(head: bytes, *, kind: str, url: str, stated: str) -> FileType:
    """The type of a result with these first bytes. `stated` is the server's Content-Type, which only counts if the
    bytes do not show the type. WrongContent for an empty file, and for a text or a page instead of a video, image or
    audio file."""
    if not head:
        raise WrongContent("the file is empty")
    found = binary_type(head) or _text(head)
    stated = stated.partition(";")[0].strip().lower()
    extension = PurePosixPath(urlsplit(url).path).suffix.lower().removeprefix(".")
    if found == "text/html" and not (kind == "files" and extension in {"html", "htm"}):
        raise WrongContent("the server sent a page (HTML), not a file")
    if kind in MEDIA and found is not None and found.startswith(("text/", "application/json", "application/xml")):
        raise WrongContent(f"the server sent {found}, not a file of {kind}")
    if found == "audio/ogg" and kind == "videos":
        return FileType("video/ogg", "ogv")
    if found in _VAGUE:
        usable = extension if _EXTENSION.fullmatch(extension) and extension not in _TAKEN else ""
        is_named = found is None and stated.startswith(("video/", "audio/", "image/", "model/")) and "svg" not in stated
        media_type = stated if is_named else found or UNKNOWN
        return FileType(media_type, usable or _EXTENSIONS.get(media_type, "bin"))
    return FileType(found or UNKNOWN, _EXTENSIONS[found or UNKNOWN])


def binary_type(head: bytes) -> str | None:
    """The media type of a file with these first bytes (64 are enough); None if it is a text or unknown."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[:4] == b"\x1a\x45\xdf\xa3" and b"webm" in head[:64]:
        return "video/webm"
    return next((media_type for media_type, begins in _AT_START.items() if head.startswith(begins)), None)


def _text(head: bytes) -> str | None:
    """The type of a text; None if it is not a text."""
    leading = _LEADING.match(head)
    rest = head[leading.end() if leading else 0 :]
    if rest[:4].lower() == b"<svg":
        return "image/svg+xml"
    if _HTML.match(rest):
        return "text/html"
    if b"\x00" in head or any(byte < 9 or 13 < byte < 32 for byte in head.replace(b"\x1b", b"")):
        return None
    if rest[:1] == b"<":
        return "application/xml"
    if rest[:1] in {b"{", b"["}:
        return "application/json"
    try:
        head[: len(head) - 3 if len(head) >= HEAD_BYTES else None].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "text/plain"
