"""The two results of making a copy: a complete file, or a reason for the failure."""

from __future__ import annotations

from typing import Final, NamedTuple

from bridge.archive.content_sniffing import FileType


class Fetched(NamedTuple):
    """A complete file in its part file, on disk."""

    bytes: int
    sha256: str
    type: FileType


class CopyFailed(Exception):
    """Why a result could not be copied. `is_final`: another attempt cannot succeed. `is_refusal`: the server refuses
    this URL, which becomes final when the URL has expired."""

    def __init__(
        self, reason: str, *, is_final: bool = False, is_refusal: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.is_final: Final = is_final
        self.is_refusal: Final = is_refusal
        self.retry_after_s: Final = retry_after_s
