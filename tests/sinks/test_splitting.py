"""When a text is split into messages, every line arrives, no URL is cut, and missing results are counted."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.event import Topic
from bridge.sinks.chat_wording import CHINESE, ENGLISH
from bridge.sinks.human_values import rest_notice
from bridge.sinks.splitting import MessageLimit, json_bytes, split_text, utf8_bytes, utf16_units

AT = "genbridge show t-1"
NOTICE = rest_notice(Topic.TASK_SUCCEEDED, "t-1", ENGLISH)


def signed(number: int, chars: int) -> str:
    """A signed URL of this length."""
    head = f"https://cdn.example.com/{number}.mp4?sign="
    return head + "s" * (chars - len(head))


def test_a_text_that_fits_is_one_message() -> None:
    assert split_text("title\nhttps://x.example/1\nkling", MessageLimit(size=100), notice=NOTICE) == [
        "title\nhttps://x.example/1\nkling"
    ]


@pytest.mark.parametrize("chars", [1500, 1900, 2000])
def test_four_long_urls_all_arrive_whole(chars: int) -> None:
    urls = [signed(number, chars) for number in range(4)]
    messages = split_text("\n".join(["title", *urls, "kling, 3 min"]), MessageLimit(size=2000), notice=NOTICE)
    assert all(len(message) <= 2000 for message in messages)
    assert [line for message in messages for line in message.split("\n")] == ["title", *urls, "kling, 3 min"]
    assert messages[0].startswith("title")


def test_an_overlong_url_becomes_a_separate_message_if_possible() -> None:
    url = signed(1, 3000)
    assert split_text(f"title\n{url}\nkling", MessageLimit(size=2000, lone_url=4000), notice=NOTICE) == [
        "title",
        url,
        "kling",
    ]


def test_urls_that_do_not_fit_are_counted_and_a_command_shows_them() -> None:
    urls = [signed(1, 5000), signed(2, 100), signed(3, 5000)]
    [message] = split_text("\n".join(["title", *urls]), MessageLimit(size=2000), notice=NOTICE)
    assert message.split("\n") == ["title", urls[1], f"2 more results: {AT}"]


def test_the_last_allowed_message_counts_the_missing_results() -> None:
    urls = [signed(number, 1900) for number in range(12)]
    messages = split_text("\n".join(["title", *urls]), MessageLimit(size=2000), notice=NOTICE, most_messages=4)
    assert len(messages) == 4
    shown = [line for message in messages for line in message.split("\n") if line in urls]
    assert shown == urls[: len(shown)]
    assert messages[-1].split("\n")[-1] == f"{12 - len(shown)} more results: {AT}"


def test_the_notice_counts_the_lines_that_it_replaces() -> None:
    urls = [signed(number, 50) for number in range(5)]
    [message] = split_text("\n".join(urls), MessageLimit(size=4 * 51), notice=NOTICE, most_messages=1)
    assert message.split("\n") == [*urls[:3], f"2 more results: {AT}"]


def test_the_notice_has_a_singular_and_a_form_without_results() -> None:
    [one] = split_text(f"title\n{signed(1, 500)}", MessageLimit(size=100), notice=NOTICE)
    assert one == f"title\n1 more result: {AT}"
    words = split_text("word " * 100, MessageLimit(size=50), notice=NOTICE, most_messages=2)
    assert words[-1].endswith(f"the rest: {AT}")


def test_a_long_line_is_split_between_words_and_around_a_url() -> None:
    url = signed(1, 60)
    messages = split_text(f"see {'word ' * 20}{url} for more", MessageLimit(size=64), notice=NOTICE)
    assert all(len(message) <= 64 for message in messages)
    assert any(url in message for message in messages)
    assert " ".join(" ".join(messages).split()) == f"see {'word ' * 20}{url} for more"


def test_a_very_long_word_is_cut_by_the_services_own_count() -> None:
    messages = split_text("好" * 100, MessageLimit(size=31, measure=utf8_bytes), notice=NOTICE)
    assert messages[0] == "好" * 10
    assert "".join(messages) == "好" * 100


def test_sizes_are_counted_as_the_services_count_them() -> None:
    assert utf8_bytes("é好") == 5
    assert utf16_units("a🎬") == 3
    assert json_bytes('a"\n好') == 1 + 2 + 2 + 3
    assert json_bytes("\ud800") == 1


@given(
    lines=st.lists(
        st.text(max_size=30) | st.integers(30, 80).map(lambda chars: signed(7, max(chars, 45))), max_size=12
    ),
    most=st.integers(60, 120),
    measure=st.sampled_from([len, utf8_bytes, utf16_units, json_bytes]),
)
def test_for_any_text_each_message_fits_and_urls_are_whole_or_counted(
    lines: list[str], most: int, measure: object
) -> None:
    room = MessageLimit(size=most, measure=measure)  # type: ignore[arg-type]  # one of the measures above
    text = "\n".join(lines)
    messages = split_text(text, room, notice=NOTICE, most_messages=3)
    assert 1 <= len(messages) <= 3
    assert all(room.fits(message) for message in messages)
    urls = re.findall(r"https?://\S+", text)
    shown = [url for message in messages for url in re.findall(r"https?://\S+", message)]
    assert set(shown) <= set(urls)
    told = re.search(r"^(\d+) more results?: ", messages[-1], re.MULTILINE)
    assert len(shown) + (int(told[1]) if told else 0) == len(urls)


@pytest.mark.parametrize(
    ("topic", "results", "english", "chinese"),
    [
        (Topic.TASK_SUCCEEDED, 1, "1 more result: genbridge show t-1", "另有 1 个结果\uff0c见 genbridge show t-1"),
        (Topic.TASK_SUCCEEDED, 3, "3 more results: genbridge show t-1", "另有 3 个结果\uff0c见 genbridge show t-1"),
        (Topic.TASK_FAILED, 0, "the rest: genbridge show t-1", "其余内容见 genbridge show t-1"),
        (Topic.ACCOUNT_BLOCKED, 0, "the rest: genbridge status", "其余内容见 genbridge status"),
    ],
)
def test_the_notice_says_what_is_missing_and_where_it_is(
    topic: Topic, results: int, english: str, chinese: str
) -> None:
    for words, text in ((ENGLISH, english), (CHINESE, chinese)):
        assert rest_notice(topic, "t-1", words)(results) == text
