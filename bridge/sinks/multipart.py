"""Forms with files, as RFC 7578 says: `multipart/form-data`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from bridge.sinks.attached_files import ResultFile


class FileForm(NamedTuple):
    """One request with files. `method` replaces the last part of the robot's path, if it is set."""

    fields: Mapping[str, str]
    files: Mapping[str, ResultFile]
    method: str = ""

    def url(self, robot_url: str) -> str:
        """Where it goes, by the address of the robot's messages."""
        if not self.method:
            return robot_url
        path, _, query = robot_url.partition("?")
        method, _, more = self.method.partition("?")
        queries = "&".join(filter(None, (query, more)))
        return f"{path.rpartition('/')[0]}/{method}{'?' if queries else ''}{queries}"


def encoded_form(form: FileForm) -> tuple[str, bytes]:
    """The content type and the body of a form. File names must hold nothing but letters, digits, `.`, `_` and `-`."""
    digest = hashlib.sha256()
    for text in form.fields.values():
        digest.update(text.encode("utf-8", "replace"))
    for each in form.files.values():
        digest.update(each.content)
    boundary = f"genbridge-{digest.hexdigest()[:32]}"  # of texts and files, so that none of them can hold it
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
