"""Puts files into a queue folder, and shows where they are now."""

from __future__ import annotations

from pathlib import Path


def drop(folder: Path, name: str, content: str | bytes) -> Path:
    """Write a file like a careful program: write it under another name first, then rename it."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    writing = folder / ".writing"
    writing.write_bytes(content if isinstance(content, bytes) else content.encode())
    return writing.rename(path)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def inside(folder: Path) -> set[str]:
    return names_in(folder) - {"rejected"}


def reason(folder: Path, name: str) -> str:
    return (folder / "rejected" / f"{name}.reason").read_text()
