"""House rules that a test can check: imports, lengths of files and functions, names."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.usefixtures("unmeasured")

PACKAGE: Final = Path(__file__).parents[1] / "bridge"
FILES: Final = sorted(PACKAGE.rglob("*.py"))

FLOORS: Final = (  # from the lowest floor up: a room may import only from lower floors, not from its own floor
    {"__init__"},  # the version
    {"errors"},
    {"domain", "log_stream", "lean_imports"},
    {"redaction", "screen"},
    {"console_log"},
    {"ports", "logs", "clock", "garbage_collector", "metrics", "encoding"},
    {"expressions", "restarting"},
    {"config", "net", "service", "offload", "liveness"},
    {"chinese_reasons"},
    {"engine", "providers", "sources", "sinks", "archive", "store", "simulator"},
    {"wiring"},
    {"app"},
    {"control"},
    {"http"},
    {"daemon"},
    {"cli"},
    {"__main__"},
)
FLOOR: Final = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
KEPT: Final = {  # only these may import them
    "httpx": "net/",
    "aiohappyeyeballs": "net/",
    "obstore": "archive/bucket.py",
    "uvicorn": "net/",
    "prometheus_client": "http/",
    "apprise": "sinks/apprise_plugin.py",
    "jmespath": "expressions/",
    "re2": "expressions/",
    "sqlite3": "store/sqlite/",
    "psycopg": "store/postgres/",
}
NO_NAMES: Final = {"utils", "helpers", "common", "base", "manager", "misc"}


def room(dotted: str) -> str:
    """The room of a module: `store` for bridge.store.rows. bridge itself is the room of the version."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_file_is_in_a_room_with_a_known_layer() -> None:
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} <= FLOOR.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_follows_the_house_rules(file: Path) -> None:
    inside = file.relative_to(PACKAGE)
    own = inside.parts[0].removesuffix(".py")
    for name in imported(file):
        top, *rest = name.split(".")
        if top == "bridge":
            other = room(name) if rest and rest[0] in FLOOR else "__init__"
            assert other == own or FLOOR[other] < FLOOR[own], f"{own} imports {name}, which is not below it"
        assert str(inside).startswith(KEPT.get(top, "")), f"{top} is for {KEPT[top]} alone"
        assert own != "domain" or top == "bridge" or top in sys.stdlib_module_names, f"the domain imports {name}"
    assert not NO_NAMES & {part.removesuffix(".py") for part in inside.parts}, "a room without a name"


@pytest.mark.parametrize("folder", ["bridge", "tests", "benchmarks"])
def test_no_file_is_longer_than_400_lines_and_no_function_than_60(folder: str) -> None:
    for file in (PACKAGE.parent / folder).rglob("*.py"):
        text = file.read_text()
        assert len(text.splitlines()) <= 400, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{file}: {node.name}"


def apart_from_twins(files: Iterable[Path]) -> list[Path]:
    """The places of one name. A file of `store/sqlite/` and its twin in `store/postgres/` count as one."""
    return sorted({Path(*(part for part in file.parts if part not in {"sqlite", "postgres"})) for file in files})


def test_only_the_account_changes_its_schedule_and_its_rate_limiter() -> None:
    """All other code returns values, or asks the account for a turn."""
    owners = {PACKAGE / "engine" / name for name in ("account.py", "account_health.py", "watch_schedule.py")}
    for file in set(FILES) - owners:
        classes = {name.rpartition(".")[2] for name in imported(file)}
        assert not classes & {"PollQueue", "RateLimiter", "WatchSchedule"}, file
        attributes = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
        assert not attributes & {"limiter", "_limiter", "schedule", "_schedule"}, file


def test_no_file_name_is_in_two_places() -> None:
    places: dict[str, list[Path]] = defaultdict(list)
    for file in FILES:
        if file.stem not in {"__init__", "__main__"}:
            places[file.stem].append(file)
    assert {stem: found for stem, files in places.items() if len(found := apart_from_twins(files)) > 1} == {}


def test_no_public_class_has_the_name_of_another() -> None:
    places: dict[str, list[Path]] = defaultdict(list)
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(file)
    assert {name: found for name, files in places.items() if len(found := apart_from_twins(files)) > 1} == {}


def test_the_name_of_a_test_has_at_most_12_words() -> None:
    for file in (PACKAGE.parent / "tests").rglob("test_*.py"):
        for name in re.findall(r"def test_(\w+)", file.read_text()):
            assert len(name.split("_")) <= 12, f"{file}: {name}"
