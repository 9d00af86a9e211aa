"""The texts that people read."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.event import Event, Topic
from bridge.domain.task import Snapshot
from bridge.sinks.chat_wording import CHINESE, ENGLISH, TOPIC_LOOKS
from bridge.sinks.human_values import human_duration, human_instant, rest_notice
from bridge.sinks.message_values import NAMES, ChatStyle, template_values
from bridge.sinks.payloads import newapi
from bridge.sinks.templates import MOST_OUTPUT, TextTemplate
from bridge.sinks.texts import MOST_BODY, MOST_TITLE, ChatTexts
from tests.sinks.samples import FAILED, SONG, SONG_URLS, SUCCEEDED, URL, every_sample, task_sample
from tests.sinks.writing import write

LONG = "The input image is too large. " * 15


def test_a_success_is_the_label_the_result_and_one_quiet_line() -> None:
    title, body = write(task_sample())
    assert title == "🎬 trailer, take 3"
    assert body.splitlines() == [URL, "5 s · kling · took 2 min 4 s"]


def test_a_failure_says_why_once_and_ends_with_the_id() -> None:
    title, body = write(task_sample(Topic.TASK_FAILED, FAILED, reason=FAILED.message, label=None))
    assert title == "⚠️ Video from kling, …Ex0sKQ failed"
    assert body.splitlines() == [
        "The prompt was refused by content moderation.",
        "kling · after 31 s",
        "CjgHs2a8AAAAAAAAEx0sKQ",
    ]


@pytest.mark.parametrize("reason", [None, "FAILED", "failed", "Task failed", "error"])
def test_a_status_is_not_repeated_as_the_reason(reason: str | None) -> None:
    event = task_sample(Topic.TASK_FAILED, Snapshot(status="failed"), reason=reason)
    assert write(event)[1].splitlines()[0] == "The provider gave no reason."
    body = write(event, ChatTexts(endpoint="", title=None, body=None, style=ChatStyle(language="zh")))[1]
    assert body.splitlines()[0] == "服务商未说明原因。"


def test_a_long_id_can_be_searched_and_copied() -> None:
    task_id = f"projects/studio/locations/us-central1/publishers/google/models/veo-3.0/operations/{'5f1c' * 9}"
    title, body = write(task_sample(Topic.TASK_FAILED, FAILED, reason=FAILED.message, label=None, task_id=task_id))
    assert title == f"⚠️ Video from kling, …{task_id[-6:]} failed"
    assert body.splitlines()[-1] == task_id
    notice = rest_notice(Topic.TASK_SUCCEEDED, task_id, ENGLISH)
    assert notice(3) == f"3 more results: genbridge show {task_id}"


def test_a_message_that_differs_from_the_reason_is_shown_too() -> None:
    _, body = write(task_sample(Topic.TASK_FAILED, FAILED, reason="code 1301"))
    assert body.splitlines()[:2] == ["code 1301.", "“The prompt was refused by content moderation”"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (LONG, f"HTTP 400, code 1201: {LONG[:240]}…"),
        ("Refused \u202eby\nmoderation\x07", "Refused \\u202eby moderation\\x07"),
    ],
)
def test_a_message_that_the_reason_quotes_is_not_shown_again(message: str, reason: str) -> None:
    _, body = write(task_sample(Topic.TASK_FAILED, FAILED._replace(message=message), reason=reason))
    assert "“" not in body


@pytest.mark.parametrize(
    ("reason", "code", "shown"),
    [
        ("Refused by moderation.", "1301", "Refused by moderation (code 1301)."),
        ("Refused (1301)", "1301", "Refused (1301)."),
        ("提示词未通过审核", "1301", "提示词未通过审核 (code 1301)。"),
        ("提示词包含违禁词 secret_word", None, "提示词包含违禁词 secret_word。"),
        ("no file at https://cdn.example.com/作品.mp4", None, "no file at https://cdn.example.com/作品.mp4."),
        ("the field _prompt is empty", None, "the field ＿prompt is empty."),
        ("Really?", None, "Really?"),
    ],
)
def test_a_reason_keeps_the_providers_words_and_gets_its_code(reason: str, code: str | None, shown: str) -> None:
    seen = FAILED._replace(message="", error_code=code)
    assert write(task_sample(Topic.TASK_FAILED, seen, reason=reason))[1].splitlines()[0] == shown


def test_a_result_that_expires_soon_says_when_and_in_how_long() -> None:
    berlin = ChatTexts(endpoint="chat", title=None, body=None, style=ChatStyle(timezone="Europe/Berlin"))
    soon = task_sample(snapshot=SUCCEEDED._replace(expires_ms=1_762_000_725_500))
    assert write(soon, berlin)[1].endswith(" · until 13:38 CET (10 min)")
    tomorrow = task_sample(snapshot=SUCCEEDED._replace(expires_ms=1_762_086_525_500))
    assert write(tomorrow, berlin)[1].endswith(" · until 2025-11-02 13:28 CET (24 h)")
    for expires_ms in (1_762_000_125_500 + 48 * 3_600_000, 1_762_000_000_000):
        assert "until" not in write(task_sample(snapshot=SUCCEEDED._replace(expires_ms=expires_ms)))[1]


def test_text_results_are_shown_line_by_line_and_harmless() -> None:
    song = {"text": "[Verse]\nla *la*\n\n# no heading\n", "title": "Song"}
    seen = Snapshot(status="SUCCESS", result={"texts": [song, {"text": "  "}, {"text": 3}, {"text": "w" * 5000}]})
    event = task_sample(Topic.TASK_SUCCEEDED, seen)

    title, body = write(event)

    assert title == "📝 trailer, take 3"
    assert body.splitlines()[:-1] == ["(Verse)", "la \u2217la\u2217", "", "\u200b# no heading", "w" * 1499 + "…"]
    assert json.loads(newapi(event))["content"] == body
    assert template_values(task_sample(Topic.TASK_FAILED, FAILED))["texts"] == []


def test_lyrics_are_not_sent_together_with_their_song() -> None:
    seen = SUCCEEDED._replace(result={**SUCCEEDED.result, "texts": [{"text": "la la"}]})
    assert "la la" not in write(task_sample(snapshot=seen))[1]


def test_a_song_is_its_versions_without_covers_and_videos() -> None:
    title, body = write(SONG)
    assert title == "🎵 Rainy city, lo-fi"
    assert body.splitlines() == [*SONG_URLS, "2 versions, 2:34 and 2:41 · suno · took 1 min 58 s"]


def test_files_are_named_with_their_format() -> None:
    urls = (
        "https://cdn.example.com/a.glb?sign=a.b",
        "https://cdn.example.com/b/Model.FBX",
        "https://a.example/get?id=7",
    )
    seen = SUCCEEDED._replace(result={"files": [{"url": url} for url in urls]}, urls=urls)
    shown = template_values(task_sample(snapshot=seen))["links"]
    assert shown == [
        f"[{name}]({url})" for name, url in zip(("File 1 (glb)", "File 2 (fbx)", "File 3"), urls, strict=True)
    ]
    chinese = template_values(task_sample(snapshot=seen), ChatStyle(language="zh"))["links"]
    assert str(chinese).startswith("['[文件 1（glb）](")


def test_a_missing_result_is_no_plain_success() -> None:
    gone = Snapshot(status="succeed", result_missing=True)
    reason = "the task has succeeded, but the provider has already deleted its result"
    title, body = write(task_sample(snapshot=gone, reason=reason))
    assert title == "🎬 trailer, take 3 is done, but its result is gone"
    assert body.splitlines()[0] == "The provider has already deleted it."
    assert body.splitlines()[-1] == "CjgHs2a8AAAAAAAAEx0sKQ"
    raw = 'the task has succeeded, but the answer holds no result: {"code": 0, "data": {}}'
    title, body = write(task_sample(snapshot=gone, reason=raw))
    assert title == "🎬 trailer, take 3 is done, but without a result"
    assert "{" not in body
    title, body = write(task_sample(snapshot=gone, reason="1 result URL was refused: ftp://x/y"))
    assert title == "🎬 trailer, take 3 is done, but without a result"
    assert body.splitlines()[0] == "1 result URL was refused: ftp://x/y."


def test_a_time_out_says_the_duration_and_that_the_task_may_finish() -> None:
    event = task_sample(Topic.TASK_TIMED_OUT, None, reason="not finished after 86400 s (give_up_after)")
    event = replace(event, data={**event.data, "watched_at": event.data["ended_at"] - 86_400_000})
    title, body = write(event)
    assert title == "⏳ trailer, take 3 timed out"
    assert body.splitlines() == ["Not finished after 24 h; it may still finish at kling.", "CjgHs2a8AAAAAAAAEx0sKQ"]


def test_a_result_that_needs_the_key_says_so() -> None:
    seen = SUCCEEDED._replace(result={"videos": [{"url": URL, "needs_key": True}]})
    assert write(task_sample(snapshot=seen))[1].endswith(" · opens only with the API key")


def test_a_task_that_had_finished_before_it_was_added_took_no_time() -> None:
    seen = SUCCEEDED._replace(created_ms=None, updated_ms=None)
    event = task_sample(snapshot=seen)
    event = replace(event, data={**event.data, "watched_at": event.data["ended_at"] - 300})
    assert write(event)[1].splitlines()[-1] == "5 s · kling"


def test_a_long_label_is_cut_at_a_word() -> None:
    label = "A lighthouse at dawn with a long slow camera move over the water, seagulls, volumetric light"
    title = write(task_sample(label=label))[0]
    assert title == "🎬 A lighthouse at dawn with a long slow camera move over the water, seagulls…"


def test_marks_can_be_left_out_and_every_text_still_says_what_happened() -> None:
    plain = ChatTexts(endpoint="chat", title=None, body=None, style=ChatStyle(marks=False))
    for event in every_sample():
        title, marked = write(event, plain)[0], write(event)[0]
        assert title in marked
        assert title.isascii()
        assert not marked.isascii()


def test_chinese_texts_say_the_same() -> None:
    chinese = ChatTexts(endpoint="chat", title=None, body=None, style=ChatStyle(language="zh"))
    assert write(task_sample(label=None), chinese) == (
        "🎬 kling 的视频，…Ex0sKQ",
        f"{URL}\n5 秒 · kling · 用时 2 分 4 秒",
    )
    seen = FAILED._replace(message="", error_code="1301")
    title, body = write(task_sample(Topic.TASK_FAILED, seen, reason="提示词未通过内容审核", label="雨中龙"), chinese)
    assert title == "⚠️ 雨中龙 失败"
    assert body.splitlines() == ["提示词未通过内容审核（1301）。", "kling · 历时 31 秒", "CjgHs2a8AAAAAAAAEx0sKQ"]
    for event in every_sample():
        title, body = write(event, chinese)
        assert re.search(r"[\u4e00-\u9fff]", title + body)
        assert (title, body) != write(event)


def test_a_reason_of_genbridge_is_chinese_in_a_chinese_message() -> None:
    chinese = ChatTexts(endpoint="chat", title=None, body=None, style=ChatStyle(language="zh"))
    reason = "HTTP 400: the answer is not a JSON object"
    assert write(task_sample(Topic.TASK_FAILED, None, reason=reason), chinese)[1].startswith(
        "响应不是 JSON 对象（HTTP 400）。"
    )
    assert write(task_sample(Topic.TASK_FAILED, None, reason=reason))[1].startswith(
        "the answer is not a JSON object (HTTP 400)."
    )


@pytest.mark.parametrize(
    ("reason", "english", "chinese"),
    [
        (
            "HTTP 404: code 1203: The requested resource does not exist",
            "The requested resource does not exist (HTTP 404, code 1203).",
            "The requested resource does not exist（HTTP 404，代码 1203）。",
        ),
        (
            "HTTP 404, code 1203: 任务不存在",
            "任务不存在 (HTTP 404, code 1203)。",
            "任务不存在（HTTP 404，代码 1203）。",
        ),
        ("code 7: no such task.", "no such task (code 7).", "no such task（代码 7）。"),
        ("HTTP 404: Not here", "Not here (HTTP 404).", "Not here（HTTP 404）。"),
        ("HTTP 404", "HTTP 404.", "HTTP 404。"),
        ("no such task", "no such task.", "no such task。"),
    ],
)
def test_a_reason_begins_with_its_sentence_and_ends_with_the_codes(reason: str, english: str, chinese: str) -> None:
    style = ChatStyle(language="zh")
    event = task_sample(Topic.TASK_NOT_FOUND, None, reason=reason)
    assert write(event)[1].splitlines()[0] == english
    assert write(event, ChatTexts(endpoint="chat", title=None, body=None, style=style))[1].splitlines()[0] == chinese


def test_operator_topics_say_what_stopped_and_what_to_do() -> None:
    texts = {event.topic: write(event) for event in every_sample()}
    assert texts[Topic.ACCOUNT_BLOCKED] == (
        "🔒 Account kling is blocked",
        "HTTP 401, code 1002: access key not found. 14 tasks are waiting; they resume by themselves.",
    )
    assert texts[Topic.ACCOUNT_RESTORED] == (
        "✅ Account kling works again",
        "It was blocked for 10 min. 14 tasks resume.",
    )
    assert texts[Topic.ENDPOINT_DISABLED] == (
        "🔌 Endpoint automation is disabled",
        "It answered HTTP 410 Gone. Its deliveries are waiting: genbridge enable automation",
    )
    assert texts[Topic.TASK_PROGRESS] == ("🎬 trailer, take 3: 45 %", "kling")


def test_every_topic_has_its_word_and_every_name_its_value() -> None:
    for words in (ENGLISH, CHINESE):
        assert set(words.topics) == set(TOPIC_LOOKS) == set(Topic)
    for event in every_sample():
        assert set(template_values(event)) == set(NAMES)


def test_hostile_strings_never_become_markup() -> None:
    hostile = "@everyone <!channel> **x** [y](https://evil.example)\u202e\n# z"
    event = task_sample(
        Topic.TASK_FAILED,
        Snapshot(message=hostile),
        reason=hostile,
        label=hostile,
        meta={"k": hostile},
        task_id="`@here`",
    )
    own = ChatTexts(endpoint="chat", title="{{ meta.k }}", body="{{ label }}{{ meta }}{{ reason }}{{ result }}")
    for title, body in (write(event), write(event, own)):
        for bad in ("@everyone", "@here", "<", "**", "](", "\u202e", "\n#"):
            assert bad not in title + body


def test_output_is_bounded_and_no_url_is_ever_halved() -> None:
    urls = tuple(f"https://cdn.example.com/{number:01000}" for number in range(200))
    title, body = write(task_sample(snapshot=SUCCEEDED._replace(urls=urls), label="x" * 1000))
    assert len(title) <= MOST_TITLE
    assert len(body) <= MOST_BODY
    *lines, last = body.splitlines()
    assert lines == list(urls[: len(lines)])
    assert last == f"{200 - len(lines)} more results: genbridge show CjgHs2a8AAAAAAAAEx0sKQ"
    text = TextTemplate("{% for i in range(999) %}{{ label }}\n{% endfor %}", names=NAMES)
    written = text.render({"label": "x" * 9999})
    assert MOST_OUTPUT - 10_000 <= len(written) <= MOST_OUTPUT
    assert set(written.splitlines()) == {"x" * 9999}


def test_ten_results_with_long_signed_urls_are_all_in_the_text() -> None:
    urls = tuple(f"https://cdn.example.com/{number}?sign={'s' * 4300}" for number in range(10))
    _, body = write(task_sample(snapshot=SUCCEEDED._replace(urls=urls)))
    assert body.splitlines()[:-1] == list(urls)


@pytest.mark.usefixtures("unmeasured")
def test_huge_numbers_and_lists_are_left_out() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    odd = {
        "task_id": "t",
        "progress": 10**400,
        "watched_at": 10**400,
        "ended_at": True,
        "expires_at": -(10**20),
        "label": deep,
        "reason": {"deep": deep},
        "meta": {"deep": deep},
        "urls": [f"https://x.example/{number}" for number in range(20_000)],
    }
    for topic in Topic:
        event = Event(event_id="evt_x", topic=topic, account="a", subject="t", occurred_at=1e300, data=odd)
        title, body = write(event)
        assert title
        assert len(body) <= MOST_BODY


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3780, "1 h 3 min"),
        (187_200, "2 d 4 h"),
        (-1, None),
        (None, None),
    ],
)
def test_durations_are_written_for_people(seconds: float | None, text: str | None) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize("odd", [None, 1e300, -1e18, float("nan")])
def test_an_invalid_instant_is_left_out(odd: float | None) -> None:
    assert human_instant(odd) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.usefixtures("unmeasured")
@given(
    topic=st.sampled_from(list(Topic)),
    data=st.dictionaries(st.sampled_from([*NAMES, "task_status_msg", "task_result"]) | st.text(max_size=8), _json),
)
def test_no_event_makes_the_texts_fail(topic: Topic, data: dict[str, object]) -> None:
    event = Event(event_id="evt_x", topic=topic, account="a", subject="s", occurred_at=0.0, data=data)
    own = ChatTexts(endpoint="chat", title="{{ meta.a }}{{ label }}", body="{{ urls[0] }}{{ result }}{{ progress }}")
    for title, body in (write(event), write(event, own)):
        assert title
        assert body
        assert len(title) <= MOST_TITLE
        assert len(body) <= MOST_BODY
        (title + body).encode()


@pytest.mark.parametrize(
    ("topic", "reason", "said"),
    [
        (Topic.TASK_NOT_FOUND, "the list of the requested tasks does not contain this one", "The list of the "),
        (Topic.TASK_FAILED, "the prompt was refused", "the prompt was refused."),  # the provider's own words
        (
            Topic.UNKNOWN_STATUS,
            "web_page: HTTP 200: a web page instead of an answer (task 7); polling continues",
            "HTTP 200: a web page ",
        ),
        (Topic.UNKNOWN_STATUS, 'unknown status "odd_word: x" (task 7); polling continues', 'Unknown status "odd'),
    ],
)
def test_a_reason_is_a_sentence_for_people(topic: Topic, reason: str, said: str) -> None:
    [sample] = (event for event in every_sample() if event.topic is topic)
    event = replace(sample, data={**sample.data, "reason": reason})
    assert write(event)[1].startswith(said)
