"""Where copies are kept, and what goes wrong there."""

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

    A file appears under its path whole or not at all, and what is written is on disk when the call returns.
    """

    def read(self, path: str) -> bytes | None:
        """The content of a small file; None if it does not exist."""

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file. False, and nothing is changed, if there is one."""

    def replace(self, path: str, content: bytes) -> None:
        """Write a small file in place of the one there is."""

    def put(self, path: str, source: Path, *, media_type: str) -> bool:
        """Move a local file that was synced there. False, and nothing is changed, if there is one."""

    def size(self, path: str) -> int | None:
        """The size of a file; None if it does not exist."""

    def entries(self) -> Iterator[StoredFile]:
        """Every file, in no order."""

    def delete(self, path: str) -> None:
        """Delete a file. Does nothing if it does not exist."""
