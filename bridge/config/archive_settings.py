"""The settings of the archive: the block `archive`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bridge.config import field_types as types
from bridge.config.settings_model import SettingsModel

CopiedKind = Literal["videos", "images", "audios", "files"]


def _each_kind_once(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(kinds)) < len(kinds):
        raise ValueError("names a kind twice")
    return kinds


class Archive(SettingsModel):
    """Copies of results, made before their URLs expire."""

    to: types.ArchivePlace = Field(description="a folder, or s3://bucket/prefix")
    kinds: Annotated[tuple[CopiedKind, ...], Field(min_length=1), AfterValidator(_each_kind_once)] = Field(
        ("videos", "images", "audios", "files"), description="the kinds of results to copy"
    )
    max_size: types.Size = Field(2 << 30, description="larger results are not copied, e.g. 500MB or 2GiB")
    quota: types.Size | None = Field(
        None, description="for all copies together; the oldest are deleted first, e.g. 100GiB"
    )
    keep_s: types.Duration | None = Field(None, description="how long copies are kept, e.g. 30d; null: forever")
    notify_after_copies: types.Flag = Field(False, description="send task_succeeded once the copies are made")
    patience_s: types.Patience = Field(120.0, description="... but at the latest after this time")
    allow: Annotated[tuple[types.AllowedHost, ...], Field(max_length=100)] = Field(
        (),
        description="private hosts or networks that results may be fetched from, in addition to the account's own host",
    )

    @property
    def folder(self) -> str | None:
        """`to`, if it is a folder of this machine; None for a bucket."""
        return None if self.to.startswith("s3://") else self.to
