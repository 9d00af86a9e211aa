"""The pages for people: Chinese pages match the English ones, and every quick start is valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bridge.config.load import load, resolve
from bridge.wiring.checking import check
from tests.domain.reason_texts import ELSEWHERE, FILES, KNOWN, texts_of, without_chinese
from tests.test_docs import blocks

pytestmark = pytest.mark.usefixtures("unmeasured")

ROOT: Final = Path(__file__).parents[1]
README: Final = (ROOT / "README.md").read_text()
CHINESE: Final = (ROOT / "README.zh-CN.md").read_text()
QUICK_STARTS: Final = (ROOT / "docs/quick-starts.md").read_text()
PROVIDERS: Final = ("Kling", "Replicate", "Suno", "Midjourney", "OpenAI video", "fal", "DashScope")


def fenced(page: str) -> list[tuple[str, str]]:
    """Every block with its language, without what its comments say."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [(language, re.sub(r" +# .*", "", text)) for language, text in found]


def outline(page: str) -> list[int]:
    """The levels of the headings, and how many blocks and rows each section has."""
    parts = re.split(r"^(#+) .+$", page, flags=re.MULTILINE)
    return [
        value
        for level, text in zip(parts[1::2], parts[2::2], strict=True)
        for value in (len(level), text.count("\n```"), len(re.findall(r"^\| ", text, re.MULTILINE)))
    ]


def targets(page: str) -> set[str]:
    """The targets of its links. A Chinese picture counts as the English one."""
    found = re.findall(r"\]\(([^)\s]+)\)", page)
    return {link.replace("-zh.", ".") for link in found if "README" not in link}


def test_the_chinese_readme_has_the_structure_of_the_english_one() -> None:
    assert fenced(CHINESE) == fenced(README)
    assert outline(CHINESE) == outline(README)
    assert targets(CHINESE) == targets(README)
    assert re.findall(r"`tests/[\w./]+`", CHINESE) == re.findall(r"`tests/[\w./]+`", README)


def test_the_readme_has_short_lines() -> None:
    assert [line for line in README.splitlines() if len(line) > 100] == []


def starts() -> Iterator[tuple[str, str]]:
    for section in QUICK_STARTS.split("\n## ")[1:]:
        for text in blocks(section, "yaml"):
            yield section.splitlines()[0], text


def test_the_chinese_readme_and_page_have_one_word_for_watching() -> None:
    page = (ROOT / "bridge/http/page/texts/zh.yaml").read_text()
    assert re.findall("关注|监视|监控(?!]\\(docs/monitoring.md)", CHINESE + page) == []
    assert "跟踪" in CHINESE
    assert "跟踪" in page


def test_every_provider_of_the_quick_starts_has_its_settings() -> None:
    assert [name for name, _ in starts()] == list(PROVIDERS)


@pytest.mark.parametrize("text", [*(text for _, text in starts()), blocks(README, "yaml")[0]])
def test_settings_that_pages_show_are_valid(text: str, tmp_path: Path) -> None:
    path = tmp_path / "genbridge.yaml"
    path.write_text(text)
    env = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "k-0123456789") | {
        "HOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "BOT_TOKEN": "123456789:abcdefghijklmnopqrstuvwxyz-12345678",
        "CHAT_ID": "12315544",
    }
    loaded = resolve(load(path, env), env)
    check(loaded)
    assert loaded.settings.endpoints


@pytest.mark.parametrize("file", FILES)
def test_every_reason_of_genbridge_has_a_chinese_text(file: str) -> None:
    assert without_chinese(file) == set(), "put its Chinese into bridge/chinese_reasons.yaml"


def test_no_chinese_is_left_over_from_a_text_that_changed() -> None:
    assert KNOWN - texts_of(*FILES, *ELSEWHERE) == set()
