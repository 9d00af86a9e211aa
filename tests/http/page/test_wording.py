"""How the page writes times, durations and numbers, and that each text has a Chinese translation."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest

from bridge.control.explanation import ADDED
from bridge.domain.event import Topic
from bridge.http.page.page_routes import NAVIGATION
from bridge.http.page.rendering import environment, one_direction
from bridge.http.page.wording import Wording, translations

NOW = 1_764_433_876.0  # 2025-11-29 16:31:16 UTC
TEMPLATES = Path(__file__).parents[3] / "bridge/http/page/templates"


def words(language: str = "en", hours: float = 0.0) -> Wording:
    return Wording(language, timezone(timedelta(hours=hours)) if hours else UTC, NOW)


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0.04, "0 s", "0 秒"),
        (0.4, "0.4 s", "0.4 秒"),
        (9.0, "9 s", "9 秒"),
        (9.96, "10 s", "10 秒"),
        (192.4, "3 min 12 s", "3 分 12 秒"),
        (180.0, "3 min", "3 分钟"),
        (7440.0, "2 h 4 min", "2 小时 4 分"),
        (90_000.0, "1 d 1 h", "1 天 1 小时"),
        (-3.0, "0 s", "0 秒"),
    ],
)
def test_durations(seconds: float, english: str, chinese: str) -> None:
    assert words().duration(seconds) == english
    assert words("zh").duration(seconds) == chinese


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1.0, "1 ms"), (0.0043, "4 ms"), (0.0994, "99 ms"), (0.4, "0.4 s"), (80.0, "1 min 20 s")]
)
def test_a_quick_request_took_milliseconds(seconds: float, text: str) -> None:
    assert words().took(seconds) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (0.5, "now"),
        (46.2, "46 s ago"),
        (59.7, "1 min ago"),
        (179.0, "2 min ago"),
        (7270.0, "2 h 1 min ago"),
        (-185.0, "in 3 min 5 s"),
        (-180.0, "in 3 min"),
        (90_000.0, "28 Nov, 15:31"),
        (400 * 86_400.0, "25 Oct 2024, 16:31"),
        (-2 * 86_400.0, "1 Dec, 16:31"),
        (1e15, "2 Jan 1, 00:00"),
    ],
)
def test_times_are_relative_below_a_day(age: float, text: str) -> None:
    assert words().ago(NOW - age) == text


def test_times_are_in_the_readers_zone() -> None:
    assert words(hours=1).moment(NOW) == "17:31:16"
    assert words(hours=8).moment(NOW) == "00:31:16"
    assert words(hours=8).exact(NOW) == "2025-11-30 00:31:16 UTC+8"
    assert words(hours=-3.5).zone_name() == "UTC-3:30"
    assert words().zone_name() == "UTC"
    assert words("zh").moment(NOW - 90_000) == "11月28日 15:31"


def test_numbers_have_separators_and_plurals_are_right() -> None:
    assert words().counted(1, "{n} delivery", "{n} deliveries") == "1 delivery"
    assert words().counted(12345, "{n} delivery", "{n} deliveries") == "12,345 deliveries"
    assert words().text("{a} of {b}", a=True, b="2") == "True of 2"


def test_text_from_outside_cannot_turn_the_direction_of_what_follows() -> None:
    assert one_direction("a\u202eexe.doc") == "a\ufffdexe.doc"
    assert one_direction("\u2066x\u2069 灯塔 שלום") == "\ufffdx\ufffd 灯塔 שלום"
    assert one_direction(3) == 3


def used_texts() -> set[str]:
    """Every English text that a template or a view names."""
    found: set[str] = set()
    for file in [*TEMPLATES.glob("*.html"), *TEMPLATES.parent.glob("*.py")]:
        source = re.sub(r"\[\"\w+\"\]", "", file.read_text("utf-8"))  # keys are not texts
        for call in re.findall(r"\b(?:t|text|counted|N_)\(((?:[^()]|\([^()]*\))*)\)", source):
            found |= {double or single for double, single in re.findall(r'"([^"]+)"|\'([^\']+)\'', call)}
    return {text for text in found if re.search(r"[A-Za-z]", text) and text == text.strip()}


def test_every_text_has_its_chinese_with_the_same_values() -> None:
    chinese = translations("zh")
    assert used_texts() | {view.name.capitalize() for view in NAVIGATION} | {*ADDED.values()} <= chinese.keys()
    for english, text in chinese.items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", text)), english


@pytest.mark.parametrize(
    ("template", "page"),
    [
        ("<b>\n  one\n</b>\n\n<i>two</i>\n", "<b>one</b><i>two</i>"),
        ("{% if 1 %}\n  <b>one</b>\n{% endif %}\n{{ 2 }}\n", "<b>one</b>2"),
        ("{{ 1 }} <b>two</b>{{ ' ' }}\n3\n", "1 <b>two</b> 3"),
        ("<a class='one'\n  href='two'\n>\n<br\n/>", "<a class='one' href='two'><br/>"),
        ("<a\n  {%- if 1 %}\n    href='one'\n  {%- endif %}\n>{{ '\n' }}</a>", "<a href='one'>\n</a>"),
    ],
)
def test_line_breaks_of_templates_are_not_in_the_page(template: str, page: str) -> None:
    assert environment().from_string(template).render() == page


@pytest.mark.parametrize("template", sorted(TEMPLATES.iterdir()), ids=lambda path: str(path.name))
def test_lines_of_templates_are_short(template: Path) -> None:
    assert max(len(line) for line in template.read_text(encoding="utf-8").splitlines()) <= 120


def test_every_topic_has_its_words_on_the_page() -> None:
    source = (TEMPLATES / "deliveries.html").read_text("utf-8")
    assert [topic for topic in Topic if f'"{topic}": t("' not in source] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12345, "12,345"),
        (0.1234, "0.123"),
        (45.678, "45.7"),
        (99.96, "100"),
        (2860.4, "2,860"),
        (1e4, "10,000"),
    ],
)
def test_numbers_are_written_without_exponents(value: float, text: str) -> None:
    assert words().number(value) == text
    assert "e+" not in words().size(value * 1e12)
