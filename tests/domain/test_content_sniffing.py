from __future__ import annotations

import pytest

from bridge.domain.content_sniffing import FileType, WrongContent, sniffed


@pytest.mark.parametrize(
    ("head", "kind", "url", "stated", "expected"),
    [
        (b"\0\0\0\x18ftypmp42", "videos", "/a", "text/html", ("video/mp4", "mp4")),
        (b"\0\0\0\x18ftypqt  ", "videos", "/a.mp4", "", ("video/quicktime", "mov")),
        (b"\0\0\0\x18ftypM4A ", "audios", "/a", "", ("audio/mp4", "m4a")),
        (b"\0\0\0\x18ftypavif", "images", "/a", "", ("image/avif", "avif")),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "videos", "/a", "", ("video/webm", "webm")),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "videos", "/a", "", ("video/x-matroska", "mkv")),
        (b"RIFF\0\0\0\0WEBPVP8 ", "images", "/a.png", "image/png", ("image/webp", "webp")),
        (b"RIFF\0\0\0\0WAVEfmt ", "audios", "/a", "", ("audio/wav", "wav")),
        (b"\x89PNG\r\n\x1a\n", "images", "/a.jpg", "image/jpeg", ("image/png", "png")),
        (b"\xff\xd8\xff\xe0", "images", "/a", "", ("image/jpeg", "jpg")),
        (b"ID3\x04", "audios", "/a", "", ("audio/mpeg", "mp3")),
        (b"\xff\xfb\x90\x64", "audios", "/a", "", ("audio/mpeg", "mp3")),
        (b"OggS\0", "videos", "/a", "", ("video/ogg", "ogv")),
        (b"OggS\0", "audios", "/a", "", ("audio/ogg", "ogg")),
        (b"fLaC\0", "audios", "/a", "", ("audio/flac", "flac")),
        (b"glTF\x02\0\0\0", "files", "/a", "", ("model/gltf-binary", "glb")),
        (b"PK\x03\x04", "files", "/a.usdz", "", ("application/zip", "usdz")),
        (b"PK\x03\x04", "files", "/a", "", ("application/zip", "zip")),
        (b'{"a": 1}', "files", "/a.json", "", ("application/json", "data.json")),
        (b'{"asset": {}}', "files", "/a.gltf", "", ("application/json", "gltf")),
        (b"<?xml version='1.0'?><COLLADA/>", "files", "/a.dae", "", ("application/xml", "dae")),
        (b"<?xml version='1.0'?><page/>", "files", "/a.xhtml", "", ("application/xml", "xml")),
        (b"WEBVTT\n\n00:00", "files", "/a.vtt", "text/vtt", ("text/plain", "vtt")),
        ("café".encode("latin-1"), "files", "/a.sub", "", ("application/octet-stream", "sub")),
        (b"<svg xmlns='x'/>", "images", "/a", "", ("image/svg+xml", "svg")),
        (b"<?xml version='1.0'?>\n<!-- c --><svg/>", "images", "/a.svg", "", ("image/svg+xml", "svg")),
        (b"<html><body>", "files", "/page.html", "", ("text/html", "html")),
        (b"\x00\x01\x02unknown", "videos", "/a.xyz", "video/x-new; a=b", ("video/x-new", "xyz")),
        (b"PK\x03\x04", "files", "/download.php?id=1", "", ("application/zip", "zip")),
        (b"<?php echo 1;", "files", "/a.PHP", "", ("application/xml", "xml")),
        (b"\x00\x01\x02unknown", "files", "/a", "", ("application/octet-stream", "bin")),
        (b"\x00\x01\x02unknown", "files", "/a.html", "text/html", ("application/octet-stream", "bin")),
        (b"\x00\x01\x02unknown", "files", "/a.a-very-long-extension", "", ("application/octet-stream", "bin")),
        (b"\x00\x01\x02unknown", "images", "/a.svg", "image/svg+xml", ("application/octet-stream", "bin")),
    ],
)
def test_a_file_is_what_its_bytes_are(head: bytes, kind: str, url: str, stated: str, expected: tuple[str, str]) -> None:
    assert sniffed(head, kind=kind, url=f"https://cdn.example.com{url}", stated=stated) == FileType(*expected)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "videos"),
        (b"<!doctype html><p>", "videos"),
        (b"\xef\xbb\xbf \n<!-- x --><HTML>", "images"),
        (b"<html>", "files"),
        (b"<head>", "audios"),
        (b'{"code": 403}', "videos"),
        (b"[1]", "audios"),
        (b"<Error><Code>AccessDenied</Code></Error>", "videos"),
        (b"Not found", "videos"),
        ("文件不存在".encode(), "images"),
    ],
)
def test_a_page_or_a_message_is_no_result(head: bytes, kind: str) -> None:
    with pytest.raises(WrongContent):
        sniffed(head, kind=kind, url="https://cdn.example.com/a.mp4", stated="video/mp4")
