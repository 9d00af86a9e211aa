"""`constraints.txt` pins everything that an install can need, including every extra and the build requirements."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
OWN = "genbridge"


def _pins() -> dict[str, Version]:
    """From each pinned distribution to its version."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.partition("==") for line in lines if line.strip()]
    return {canonicalize_name(name): Version(version) for name, _, version in pairs}


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _asked_for() -> list[Requirement]:
    """The requirements of the project, including every extra and the build requirements."""
    project = _project()
    extras = project["project"]["optional-dependencies"].values()
    texts = [*project["project"]["dependencies"], *(text for extra in extras for text in extra)]
    return [Requirement(text) for text in (*texts, *project["build-system"]["requires"])]


def _needs(asked: Requirement) -> Iterator[Requirement]:
    """The requirements of an installed distribution on this machine, with the requested extras."""
    for text in importlib.metadata.requires(asked.name) or ():
        needed = Requirement(text)
        marker = needed.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *asked.extras)):
            yield needed


def _plan() -> tuple[list[Requirement], set[str]]:
    """Every requirement of a whole install, and the distributions that are not installed here."""
    waiting, seen, plan, absent = _asked_for(), set[tuple[str, frozenset[str]]](), list[Requirement](), set[str]()
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        if name == OWN:
            continue
        plan.append(asked)
        key = (name, frozenset(asked.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            waiting += _needs(asked)
        except importlib.metadata.PackageNotFoundError:
            absent.add(name)
    return plan, absent


def test_every_distribution_of_every_extra_is_pinned_to_a_version_that_fits() -> None:
    pins, (plan, absent) = _pins(), _plan()

    assert sorted({asked.name for asked in plan if canonicalize_name(asked.name) not in pins}) == []
    unfit = [str(asked) for asked in plan if not asked.specifier.contains(pins[canonicalize_name(asked.name)])]
    assert unfit == []
    if absent:
        pytest.skip(f"constraints were not examined below {', '.join(sorted(absent))}: install the extra dev")


def test_the_build_tools_are_pinned() -> None:
    assert "hatchling" in _pins()


def test_each_distribution_is_pinned_once_in_order() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    assert lines == sorted(lines, key=str.lower)
    assert len(_pins()) == len(lines)
