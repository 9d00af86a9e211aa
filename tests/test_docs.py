"""The docs match the program: every command, key, topic, metric and log event is documented, and no others.

tests/config checks the keys of the settings against their page. tests/sinks checks the examples of payloads.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import click
import pytest

from bridge import errors
from bridge.cli import COMMANDS, command_called, genbridge, outcome
from bridge.control.first_settings import SOURCES
from bridge.domain.delivery_state import DELIVERY_FOLLOWS
from bridge.domain.event import END_TOPICS, FOR_PEOPLE, OPERATOR_TOPICS, Event, Parcel, Topic
from bridge.domain.id_rule import FILE_SUFFIXES, TASK_KEYS
from bridge.domain.ids import WatchKey
from bridge.domain.task import FOLLOWS
from bridge.store import open_store
from tests.store.making import make_end
from tests.test_architecture import FLOORS, PACKAGE

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted(
    [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]
)
README: Final = (ROOT / "README.md").read_text()
COMMANDS_PAGE: Final = (ROOT / "docs/commands.md").read_text()
OPERATIONS: Final = (ROOT / "docs/operations.md").read_text()
ARCHITECTURE: Final = (ROOT / "docs/architecture.md").read_text()
CONTRIBUTING: Final = (ROOT / "docs/contributing.md").read_text()
PAYLOADS: Final = (ROOT / "docs/payloads.md").read_text()

COMMON: Final = {"-c", "--config", "-h", "--help"}  # described once, for every command
FREE: Final = {
    *("paused_accounts", "paused_endpoints"),
    *("meta", "watches", "waiting_by_endpoint", "dead_by_endpoint", "unchecked_by_endpoint", "failing_endpoints"),
    *("failing_accounts", "disabled_endpoints", "blocked_accounts", "paused_endpoints"),
}
SETTINGS: Final = """
store: state.db
sources: {queue: queue/}
accounts: {kling: {provider: kling, base_url: "http://127.0.0.1:9", api_key: a-key, action: videos/text2video}}
endpoints: {automation: {type: webhook, url: "http://127.0.0.1:9/hook"}}
"""


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of this language, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def sections(page: str) -> dict[str, str]:
    """The text below each heading of the third level that is a name in backquotes."""
    found = re.split(r"^### `([^`]+)`$", page, flags=re.MULTILINE)
    texts = [re.split(r"^##+ ", text, flags=re.MULTILINE)[0] for text in found[2::2]]
    return dict(zip(found[1::2], texts, strict=True))


def slugs(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        assert not anchor or anchor in slugs(target.read_text()), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_pages_name_exist(page: Path) -> None:
    for name in re.findall(r"`((?:bridge|docs|systemd|tests)/[\w./-]*)`", page.read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_exist(page: Path) -> None:
    for name, *rest in called(page.read_text()):
        assert command_called(name).make_context(name, rest).info_name == name


def called(page: str) -> Iterator[list[str]]:
    """Every call of genbridge in the page's blocks, without the program's name."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += [line.removeprefix("$ ") for block in blocks(page, "") for line in block.splitlines() if line[:2] == "$ "]
    for line in lines:
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        for is_between, group in itertools.groupby(words, lambda word: set(word) <= set("();<>|&")):
            said = list(group)
            place = max((place for place, word in enumerate(said) if Path(word).name == "genbridge"), default=-1)
            if not is_between and place >= 0 and said[place + 1 : place + 2] and said[place + 1] in COMMANDS:
                yield said[place + 1 :]


def test_the_first_two_commands_of_the_readme_are_one_line_each() -> None:
    demo, tests, *_ = blocks(README, "sh")
    assert [demo.count("\n"), tests.count("\n")] == [1, 1]
    assert demo.rstrip().endswith("genbridge demo")
    assert tests.rstrip().endswith("pytest")


def test_every_promise_names_the_tests_that_show_it() -> None:
    _, rest = README.split("## What it promises", 1)
    rows = re.findall(r"^\| (?!promise|---)(.+) \| (.+) \|$", rest.split("\n## ", 1)[0], re.MULTILINE)
    assert len(rows) >= 9
    for promise, shown_by in rows:
        assert re.search(r"`tests/[\w./]+`", shown_by), promise


def test_every_topic_has_its_heading_and_none_is_left_over() -> None:
    assert list(sections(PAYLOADS)) == list(Topic)


def test_the_docs_name_the_topics_that_not_every_endpoint_receives() -> None:
    settings, operations = ((ROOT / "docs" / name).read_text() for name in ("configuration.md", "operations.md"))
    unusual = set(Topic) - END_TOPICS - OPERATOR_TOPICS
    named = set(re.findall(r"`(\w+)`", settings.split("### Routes\n", 1)[1].split("\n|", 1)[0]))
    assert named & set(Topic) == {"task_succeeded", "task_failed"} | FOR_PEOPLE | unusual
    routed = [set(topics.split(", ")) for topics in re.findall(r"topics: \[(.+)\]", operations)]
    assert routed == [OPERATOR_TOPICS, END_TOPICS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`((?:bridge|tests|benchmarks)/[\w./]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_item_of_a_list_begins_its_own_line(page: Path) -> None:
    # A tool that fills paragraphs joins them, and Markdown then shows one item.
    assert re.findall(r"^(?!\|).*[.:;] -(?:\s+\*\*.*|$)", prose(page.read_text()), re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_empty_line_follows_each_block_of_code(page: Path) -> None:
    outside = re.sub(r"^```.*?^```$", "CODE", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^CODE\n(.+)", outside, re.MULTILINE) == []


def test_the_guide_names_things_that_are_in_their_files() -> None:
    found = re.findall(r"((?:`[\w.]+`(?:, | and )?)+)\s+\(`([\w/]+\.\w+)`\)", CONTRIBUTING)
    assert len(found) > 20
    for names, file in found:
        files = [ROOT / file] if "/" in file else [*PACKAGE.rglob(file), *(ROOT / "tests").rglob(file)]
        texts = "".join(each.read_text() for each in files)
        missing = [name for name in re.findall(r"`(?:\w+\.)*(\w+)`", names) if not re.search(rf"\b{name}\b", texts)]
        assert missing == [], file


def test_the_table_of_rooms_names_files_that_exist() -> None:
    for room, text in re.findall(r"^\| `(\w+)/` \| (.*) \|$", ARCHITECTURE, re.MULTILINE):
        names = {*re.findall(r"`(\w+)`", text)} - {"demo", "simulate"}  # commands
        known = {path.stem for path in (PACKAGE / room).rglob("*")}
        assert {name for name in names if name.islower()} <= known, room


def test_the_docs_have_exactly_the_keys_of_a_task() -> None:
    settings = (ROOT / "docs/configuration.md").read_text()
    assert f"A task is an id, or `{{{', '.join(TASK_KEYS)}}}`" in settings
    body = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]["/api/v1/tasks"]["post"]["requestBody"]
    assert tuple(body["content"]["application/json"]["schema"]["anyOf"][1]["properties"]) == TASK_KEYS


def test_the_docs_have_exactly_the_suffixes_of_task_files() -> None:
    settings, questions = ((ROOT / "docs" / name).read_text() for name in ("configuration.md", "faq.md"))
    [suffixes] = re.findall(r"suffix is not one of `([^`]+)`", questions)
    assert suffixes.split() == list(FILE_SUFFIXES)
    section = settings.split("The queue folder takes these files:", 1)[1].split("- No suffix:", 1)[0]
    starts = [line.split(": ", 1)[0] for line in section.splitlines() if line.startswith("- ")]
    assert sorted(re.findall(r"`([.]\w+)`", " ".join(starts))) == sorted(FILE_SUFFIXES)


@pytest.mark.usefixtures("unmeasured")
def test_the_docs_have_exactly_the_log_events_with_their_levels() -> None:
    rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| ([a-z, ]+) \| (.+) \|$", OPERATIONS, re.MULTILINE)
    assert [name for name, _, _ in rows] == sorted(name for name, _, _ in rows)
    said = logged()
    assert {name: set(levels.split(", ")) for name, levels, _ in rows} == said


def logged() -> dict[str, set[str]]:
    """Every event that the code logs, with its levels."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[name, *_]):
                    for event in words_of(name, tree):
                        found[event].add("error" if level == "exception" else level)
    return found


def words_of(name: ast.expr, tree: ast.Module) -> Iterator[str]:
    """The texts that this first argument of a call can be: itself, or what is assigned to the variable."""
    values = [name]
    if isinstance(name, ast.Name):
        assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
        values = [node.value for node in assigned if any(ast.unparse(to) == name.id for to in node.targets)]
    texts = [node.value for value in values for node in ast.walk(value) if isinstance(node, ast.Constant)]
    assert texts, f"line {name.lineno}: a log event is a plain text"
    yield from map(str, texts)


def options(of: click.Command) -> set[str]:
    """All names of the options in its help, without those that every command has."""
    shown = [param for param in of.params if isinstance(param, click.Option) and not param.hidden]
    return {name for param in shown for name in (*param.opts, *param.secondary_opts)} - COMMON


def described(section: str) -> list[str]:
    """The names of the options that have a row in this part of the page."""
    rows = re.findall(r"^\| `(-[^`]+)` \|", section, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"(?<!\S)--?[a-z][a-z-]*", row)]


def test_every_command_has_its_heading_and_none_is_left_over() -> None:
    assert sorted(sections(COMMANDS_PAGE)) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_docs_of_a_command_have_usage_an_example_and_every_option(name: str) -> None:
    section = sections(COMMANDS_PAGE)[name]
    usage = " ".join(command_called(name).collect_usage_pieces(click.Context(command_called(name))))
    assert f"`genbridge {name} {usage}`" in section
    assert sorted(described(section)) == sorted(options(command_called(name)))
    assert name in {called_name for called_name, *_ in called(section)}, "an example is missing"


def test_the_options_of_every_command_and_of_none_are_described_once() -> None:
    common = COMMANDS_PAGE.split("\n## ", 2)[1]
    assert sorted(described(common)) == sorted(options(genbridge) | COMMON)


def test_the_docs_of_init_name_every_source() -> None:
    [meaning] = re.findall(r"^\| `--tasks WHERE` \| (.+) \|$", COMMANDS_PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", meaning)) == set(SOURCES)


def test_the_page_of_commands_speaks_of_no_option_that_is_not() -> None:
    known = COMMON.union(options(genbridge), *(options(command_called(name)) for name in COMMANDS))
    long = {name for name in known if name.startswith("--")}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", COMMANDS_PAGE)) == long


def test_every_exit_code_has_its_row() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    raised = {kind.exit_code for kind in kinds if issubclass(kind, errors.GenbridgeError)}
    rows = re.findall(r"^\| (\d+) \|", COMMANDS_PAGE, re.MULTILINE)
    assert sorted(map(int, rows)) == sorted({0, 130} | raised)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings whose store holds one watch that has ended, with its delivery."""
    path = tmp_path / "genbridge.yaml"
    path.write_text(SETTINGS)
    path.chmod(0o600)
    assert outcome(["add", "task-1", "--config", str(path)]) == 0
    store = open_store(tmp_path / "state.db", create=False, group_access=False)
    store.commit([make_end(WatchKey("kling", "task-1"))], one_parcel)
    store.close()
    return path


def one_parcel(event: Event) -> list[Parcel]:
    return [Parcel(endpoint="automation", target="", body=b"{}")]


@pytest.mark.parametrize("words", [["add", "task-2"], ["list"], ["show", "task-1"], ["deliveries"], ["status"]])
def test_the_json_of_a_command_has_the_shape_that_is_shown(
    settings: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = blocks(sections(COMMANDS_PAGE)[words[0]], "json")
    capsys.readouterr()
    assert outcome([*words, "--json", "--config", str(settings)]) == 0
    assert shape(json.loads(example)) == shape(json.loads(capsys.readouterr().out))


def test_every_command_that_prints_json_shows_it() -> None:
    shown = {name for name, section in sections(COMMANDS_PAGE).items() if blocks(section, "json")}
    assert shown == {name for name in COMMANDS if "--json" in options(command_called(name))}


def shape(value: Any) -> Any:
    """The keys of a JSON value in their order. For a list, those of its first item."""
    match value:
        case dict():
            return [(key, None if key in FREE else shape(item)) for key, item in value.items()]
        case [first, *_] if isinstance(first, dict):
            return [shape(first)]
        case list():
            return "list"
    return None


def diagram(table: Mapping[Any, frozenset[Any]]) -> str:
    """A table of states as the page shows it: a Mermaid diagram, the first state first."""
    kind: type[StrEnum] = type(next(iter(table)))
    states = list(kind)  # in the order of their definition
    lines = [f"    [*] --> {states[0]}"]
    for state in states:
        follow = [other for other in states if other in table[state]]
        lines += [f"    {state} --> {other}" for other in follow] or [f"    {state} --> [*]"]
    return "\n".join(["stateDiagram-v2", *lines, ""])


@pytest.mark.parametrize(("place", "table"), [(0, FOLLOWS), (1, DELIVERY_FOLLOWS)], ids=["phases", "deliveries"])
def test_the_diagrams_are_drawn_from_the_tables(place: int, table: Mapping[Any, frozenset[Any]]) -> None:
    assert blocks(ARCHITECTURE, "mermaid")[place] == diagram(table)


def test_the_picture_shows_every_room_on_its_floor() -> None:
    picture, *_ = blocks(ARCHITECTURE, "")
    named = [set(re.findall(r"(\w+)(?:/|\.py)(?=\s)", line)) for line in picture.splitlines()]
    assert [rooms for rooms in named if rooms] == [floor for floor in reversed(FLOORS) if floor != {"__init__"}]
