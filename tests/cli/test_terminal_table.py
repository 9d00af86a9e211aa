"""Tables on a terminal: cut to its width, and plain on a plain terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.output import MARK, Column, is_id, table_lines
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.screen import Screen, cells, cut, fitted, folded
from tests.cli.shell import Shell
from tests.cli.terminal import ESCAPES, in_terminal, interrupt_at
from tests.factories import NOW, make_wish
from tests.store.making import Teller, make_end, nobody

HOSTILE = "evil \x1b[31mred\x1b]0;title\x07 [red]{x} \u202e%s"
TEXTS = st.text(st.sampled_from("ab 雨é\u0301👍\x1b[]{}%✓…"), max_size=60)


def screen(width: int, *, marks: bool = True) -> Screen:
    return Screen(width, 24, is_terminal=True, marks=marks)


@given(TEXTS.filter(str.isprintable), st.integers(1, 40), st.booleans())
def test_a_cut_text_fits_and_one_that_fits_is_not_cut(text: str, most: int, middle: bool) -> None:
    assert cells(cut(text, most, middle=middle)) <= most
    if cells(text) <= most:
        assert cut(text, most, middle=middle) == text


def test_an_id_is_cut_in_the_middle_so_both_ends_are_visible() -> None:
    assert cut("6f1c2d3e-1111-4222", 9, middle=True) == "6f1c…4222"
    assert cut("雨中的灯塔", 6) == "雨中…"


@given(TEXTS.filter(str.isprintable), st.integers(4, 40))
def test_folded_lines_fit_and_lose_nothing_but_blanks(text: str, width: int) -> None:
    lines = list(folded(text, width))
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=5), st.integers(20, 120), st.booleans())
def test_no_line_of_a_table_is_wider_than_the_terminal(
    rows: list[tuple[str, str, str]], width: int, marks: bool
) -> None:
    columns: list[Column[tuple[str, str, str]]] = [
        Column("FIRST", lambda row: row[0], middle=is_id),
        Column("SECOND", lambda row: row[1], least=6, rank=1, goes=1),
        Column("THIRD", lambda row: row[2], least=6, link=lambda row: f"https://cdn.example.com/{row[2]}"),
    ]
    for line in table_lines(rows, columns, screen(width, marks=marks)):
        assert cells(ESCAPES.sub("", line)) <= width
        assert marks or "\x1b" not in line


def test_only_a_column_of_marks_takes_its_color_from_the_text() -> None:
    columns: list[Column[str]] = [Column("MARK", str, style=MARK), Column("LABEL", str)]
    assert list(table_lines(["✗ x"], columns, screen(40)))[1] == "\x1b[31m✗ x\x1b[0m   ✗ x"


def test_a_long_line_is_wrapped_unless_its_url_does_not_fit() -> None:
    assert fitted("  attempt 1: HTTP 503 Unavailable", screen(22), hang=2) == "  attempt 1: HTTP 503\n    Unavailable"
    url = "  https://cdn.example.com/a/long/path/v1.mp4"
    assert fitted(url, screen(22), hang=2) == url
    piped = Screen(22, 24, is_terminal=False, marks=False)
    assert fitted("a line that is longer than that", piped, hang=2) == "a line that is longer than that"


@given(TEXTS.filter(str.isprintable), st.integers(20, 60))
def test_a_fitted_line_loses_only_spaces(text: str, width: int) -> None:
    said = fitted(text, screen(width), hang=4)
    assert said.replace(" ", "").replace("\n", "") == text.replace(" ", "")
    if "\n" in said:
        assert all(cells(line) <= width for line in said.split("\n"))


def fill(shell: Shell, tasks: int) -> None:
    """Many finished tasks and one that runs."""
    store = shell.store()
    keys = [WatchKey("kling", f"task-{number:03}") for number in range(tasks)]
    store.add([make_wish(account=key.account, task_id=key.task_id) for key in keys], source="cli", now=NOW)
    store.add([make_wish(task_id="live", label="雨中的灯塔" * 9)], source="cli", now=NOW)
    for at, key in enumerate(reversed(keys)):
        phase = Phase.FAILED if at == 0 else Phase.SUCCEEDED
        store.commit([make_end(key, phase=phase, at=NOW + at)], nobody)
    store.close()


def test_list_shows_the_live_tasks_and_the_last_20_that_finished(shell: Shell) -> None:
    fill(shell, 30)
    said = in_terminal(shell.folder, "list")
    head, live, *finished, note, hint = said.lines
    assert head.split() == ["PHASE", "AGO", "ID", "LABEL", "RESULT"]
    assert live.startswith("⠸ submitted")
    assert "雨中" in live
    assert [line.split()[3] for line in finished] == [f"task-{number:03}" for number in range(20)]
    assert note == "more tasks have finished: `genbridge list | less` shows all"
    assert hint == "note: no daemon is running; `genbridge run` starts one"
    assert all(cells(line) <= 80 for line in said.lines)
    assert "\x1b[32m✓ succeeded\x1b[0m" in said


def test_a_note_says_that_no_daemon_sends_what_waits(shell: Shell) -> None:
    store = shell.store()
    store.add([make_wish(task_id="a")], source="cli", now=NOW)
    store.commit([make_end(WatchKey("kling", "a"))], Teller(("hook", "")))
    store.close()
    assert in_terminal(shell.folder, "deliveries").lines[-1] == "note: no daemon is running; `genbridge run` starts one"
    assert len(in_terminal(shell.folder, "deliveries", "--state", "accepted").lines) == 1, "nothing waits"


def test_a_cut_url_is_a_link_except_where_terminals_show_its_bytes(shell: Shell) -> None:
    fill(shell, 2)
    assert "\x1b]8;;https://cdn.example.com/v1.mp4\x1b\\" in in_terminal(shell.folder, "list")
    console = in_terminal(shell.folder, "list", env={"TERM": "linux"})
    assert "\x1b]8" not in console
    assert "\x1b[32m" in console


def test_list_in_a_pipe_shows_every_task_whole(shell: Shell) -> None:
    fill(shell, 30)
    lines = shell("list").out.splitlines()
    assert len(lines) == 32
    assert lines[0].split() == ["ACCOUNT", "ID", "PHASE", "SINCE", "ETA", "NEXT", "POLL", "POLLS", "LABEL", "RESULT"]
    assert "雨中的灯塔" * 9 in lines[1]


def test_filters_and_limits_show_the_matching_rows(shell: Shell) -> None:
    fill(shell, 30)
    assert len(in_terminal(shell.folder, "list", "--phase", "succeeded").lines) == 30
    assert len(in_terminal(shell.folder, "list", "--limit", "25").lines) == 27, (
        "with a note, as no daemon polls the live one"
    )
    assert len(in_terminal(shell.folder, "list", "--account", "kling").lines) == 24


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_without_colors_there_are_no_marks_and_no_escapes(shell: Shell, env: dict[str, str]) -> None:
    fill(shell, 3)
    for words in (("list",), ("status",), ("deliveries",)):
        said = in_terminal(shell.folder, *words, env=env)
        assert "\x1b" not in said
        assert not {"✓", "✗", "⠸"} & set(said)


def test_wide_and_json_show_the_full_value_on_a_terminal(shell: Shell) -> None:
    fill(shell, 3)
    label = "雨中的灯塔" * 9
    assert label not in "".join(in_terminal(shell.folder, "list").lines)
    assert label in "".join(in_terminal(shell.folder, "list", "--wide").lines)
    assert label in "".join(in_terminal(shell.folder, "list", "--json").lines)


def test_text_from_outside_cannot_reach_the_terminal(shell: Shell) -> None:
    store = shell.store()
    store.add([make_wish(task_id="a", label=HOSTILE)], source="cli", now=NOW)
    store.close()
    for words in (("list",), ("list", "--wide"), ("show", "a")):
        said = in_terminal(shell.folder, *words, columns=200, env={"NO_COLOR": "1"})
        assert "\x1b" not in said
        assert "\u202e" not in said
        assert "evil \\x1b[31mred" in said


def test_watch_refreshes_in_place_until_ctrl_c_and_leaves_the_last_lines(shell: Shell) -> None:
    fill(shell, 30)
    for words, text in ((("list", "--watch"), "live"), (("status", "--watch"), "30 succeeded")):
        said = in_terminal(shell.folder, *words, rows=12, on_output=interrupt_at("\x1b[J"))
        frame, _, last = said.partition("\x1b[?1049l")
        assert frame.startswith("\x1b[?1049h")
        assert text[-4:] in last
        assert last.count("\n") < 12
        assert said.count("\x1b[?25h") == 1, "the cursor is back"


def test_an_empty_list_says_how_to_add_a_task_while_it_refreshes(shell: Shell) -> None:
    shell.store().close()
    said = in_terminal(shell.folder, "list", "--watch", on_output=interrupt_at("\x1b[J"))
    assert "nothing is watched: `genbridge add ID` adds a task" in said


def test_watch_says_how_many_lines_do_not_fit(shell: Shell) -> None:
    fill(shell, 3)
    said = in_terminal(shell.folder, "status", "--watch", rows=4, on_output=interrupt_at("\x1b[J"))
    frame, _, last = said.partition("\x1b[?1049l")
    hidden = len(last.strip().splitlines()) - 2
    assert f"{hidden} more lines: enlarge the window" in frame


def test_show_explain_providers_and_check_fit_80_columns(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(shell, 1)
    monkeypatch.setenv("KLING_KEY", "k3y-of-a-test")
    shown = in_terminal(shell.folder, "show", "task-000")
    assert "urls          https://cdn.example.com/v1.mp4" in shown.lines
    assert "eta_at" not in shown, "what has no value is left out"
    explained = in_terminal(shell.folder, "explain", "task-000")
    assert "\x1b[1mkling/task-000: failed\x1b[0m" in explained
    checked = in_terminal(shell.folder, "check", exits=0)
    assert "\x1b[32mok\x1b[0m" in checked
    listed = in_terminal(shell.folder, "providers", columns=60)
    for said in (shown, explained, listed, checked):
        width = 60 if said is listed else 80
        assert [line for line in said.lines if cells(line) > width and str(shell.folder) not in line] == []


def test_watch_needs_a_terminal(shell: Shell) -> None:
    fill(shell, 1)
    assert shell("list", "--watch").code == 2
    assert "needs a terminal" in shell("status", "--watch").err
    assert "not both" in shell("list", "--watch", "--json").err
