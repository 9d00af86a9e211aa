"""The interface of a folder or bucket with copies, and its error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol


class PlaceFailed(Exception):
    """The archive cannot be read or written now. The text is one line for people."""


class StoredFile(NamedTuple):
    """One file of the archive: its path, size, and when it was written."""

    path: str
    bytes: int
    at: float


class Place(Protocol):
    """A folder or a bucket. Paths are relative to it, with `/`. Every call blocks, and raises PlaceFailed.

    A file appears under its path either complete or not at all, and it is on disk when the call returns. `partial` is
    the local folder of unfinished files.
    """

    @property
    def partial(self) -> Path: ...

    def read(self, path: str) -> bytes | None:
        """The content of a small file; None if it does not exist."""

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file. If it exists, returns False and changes nothing."""

    def replace(self, path: str, content: bytes) -> None:
        """Replace a small file."""

    def put(self, path: str, source: Path, *, media_type: str) -> bool:
        """Move a local, synced file there. If another file has the path, returns False and changes nothing. A bucket
        takes a file of the same length for the same file."""

    def size(self, path: str) -> int | None:
        """The size of a file; None if it does not exist."""

    def entries(self) -> Iterator[StoredFile]:
        """Every file in `YYYY/MM/DD/ACCOUNT/`, in any order. A bucket also lists its other files."""

    def delete(self, path: str) -> None:
        """Delete a file. Does nothing if it does not exist."""
