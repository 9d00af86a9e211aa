"""Forms with files, according to RFC 7578: `multipart/form-data`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from bridge.sinks.attached_files import ResultFile


class FileForm(NamedTuple):
    """One request with files. If `method` is set, it replaces the last segment of the robot's path."""

    fields: Mapping[str, str]
    files: Mapping[str, ResultFile]
    method: str = ""

    def url(self, robot_url: str) -> str:
        """The URL of this request, derived from the robot's URL for messages."""
        if not self.method:
            return robot_url
        path, _, query = robot_url.partition("?")
        method, _, more = self.method.partition("?")
        queries = "&".join(filter(None, (query, more)))
        return f"{path.rpartition('/')[0]}/{method}{'?' if queries else ''}{queries}"


def encoded_form(form: FileForm) -> tuple[str, bytes]:
    """The content type and the body of a form. File names may only contain letters, digits, `.`, `_` and `-`."""
    digest = hashlib.sha256()
    for text in form.fields.values():
        digest.update(text.encode("utf-8", "replace"))
    for each in form.files.values():
        digest.update(each.content)
    boundary = f"genbridge-{digest.hexdigest()[:32]}"  # a hash of texts and files, so none contains it
    parts: list[bytes] = []
    for name, text in form.fields.items():
        kind = "application/json" if name == "payload_json" else "text/plain; charset=utf-8"
        head = f'Content-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}'
        parts.append(f"--{boundary}\r\n{head}\r\n\r\n{text}\r\n".encode("utf-8", "replace"))
    for name, file in form.files.items():
        head = (
            f'Content-Disposition: form-data; name="{name}"; filename="{file.name}"\r\nContent-Type: {file.media_type}'
        )
        parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), file.content, b"\r\n"]
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])
