"""Reasons in Chinese: genbridge's own texts are translated, other texts stay."""

from __future__ import annotations

import re

import pytest

from bridge.chinese_reasons import MOST_CHARS, chinese_texts, in_language, is_own

pytestmark = pytest.mark.usefixtures("unmeasured")


@pytest.mark.parametrize("english", chinese_texts())
def test_the_chinese_has_the_values_of_the_english(english: str) -> None:
    chinese, places = chinese_texts()[english], re.findall(r"\{[nao]?\}", english)
    numbers = re.findall(r"\{(\d?)\}", chinese)
    assert sorted(numbers) in ([""] * len(places), [str(place) for place in range(len(places))])


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "not finished after 7200 s (give_up_after); the last answer: HTTP 500: the answer is empty",
            "7200 秒后仍未结束（give_up_after）；最后一次响应：HTTP 500：响应为空",
        ),
        (
            "no success for 35 min, 8 failed attempts; the last one: no answer from hooks.example.com:443 in time",
            "35 分钟内没有成功，失败 8 次；最后一次：hooks.example.com:443 未在限定时间内响应",
        ),
        (
            "HTTP 404: the list of the requested tasks does not contain this one",
            "HTTP 404：所查询任务的列表中没有此任务",
        ),
        (
            "10.0.0.7 is not on the public internet: 10.0.0.7 is a private network",
            "10.0.0.7 不在公网上：10.0.0.7 是内网地址",
        ),
        ('HTTP 502 Bad Gateway: a web page with the title "Oh"', "HTTP 502 Bad Gateway：网页“Oh”"),
        (
            "HTTP 301 Moved Permanently (redirects to https://a.example/b; redirects are not followed)",
            "HTTP 301 Moved Permanently（重定向到 https://a.example/b，不跟随重定向）",
        ),
        (
            "HTTP 401 Unauthorized: no; check url; the robot may have been removed",
            "HTTP 401 Unauthorized: no；请检查 url，机器人可能已被删除",
        ),
        (
            "HTTP 200, but refused: no device was reached; check the key",
            "HTTP 200，但被拒绝：没有送达任何设备，请检查密钥",
        ),
        ("message 2 of 3: HTTP 429 Too Many Requests", "第 2 条，共 3 条：HTTP 429 Too Many Requests"),
        ("no answer from the proxy 10.0.0.1:3128 in time", "代理 10.0.0.1:3128 未在限定时间内响应"),
        (
            "videos 1: 1000 more bytes would leave less than 5% of the disk free at /data",
            "videos 1：再写入 1000 字节，磁盘可用空间将不足 5%：/data",
        ),
        ('1 result URL was refused: ftp://x/y: the scheme is "ftp"', "1 个结果链接被拒绝：ftp://x/y：协议为“ftp”"),
        (
            "18985 bytes: 2026/kling/fox-1.mp4, 2026/kling/fox-2.mp4",
            "18985 字节：2026/kling/fox-1.mp4, 2026/kling/fox-2.mp4",
        ),
        ("polled again: HTTP 502: the answer is empty", "再次查询：HTTP 502：响应为空"),
        ("images 2,5: the file is empty", "images 2,5：文件为空"),
        (
            "images 1-12: no answer from cdn.example.com:443 in time",
            "images 1-12：cdn.example.com:443 未在限定时间内响应",
        ),
        ("videos 1: the file is empty; images 2: HTTP 403", "videos 1：文件为空；images 2: HTTP 403"),
        ("videos 1: HTTP 403; the URL has expired", "videos 1: HTTP 403；链接已失效"),
        ("3 result URLs were refused: a: no host; b: relative", "3 个结果链接被拒绝：a：没有主机名；b：是相对地址"),
        (
            'id: "a b": blanks are not allowed in an id; remove it',
            'id："a b"：ID 中不允许空格；请删除',
        ),
        ("ids.txt: line 3: not UTF-8; save the file as UTF-8", "ids.txt：第 3 行：不是 UTF-8，请把文件另存为 UTF-8"),
        ("new.csv: line 2: 4 cells, but 3 columns", "new.csv：第 2 行：有 4 个单元格，但只有 3 列"),
        (
            'list.yaml:2: task 3: account: unknown account "k"; there are: kling, mj',
            'list.yaml:2：第 3 个任务：account：未知的 account "k"，可用的有：kling, mj',
        ),
        (
            'ids.txt: line 3: id: "a b": blanks are not allowed in an id; remove it',
            'ids.txt：第 3 行：id："a b"：ID 中不允许空格；请删除',
        ),
        ("a.yaml could not be moved or removed: EROFS", "a.yaml 无法移走或删除：EROFS"),
        (
            "a.yaml: line 4: a tab; indent YAML with spaces (column 1)",
            "a.yaml：第 4 行：含有制表符，YAML 须用空格缩进（第 1 列）",
        ),
        (
            "genbridge.yaml:3:5: accounts.kling.limits.rate: is not a whole number",
            "genbridge.yaml:3:5：accounts.kling.limits.rate：不是整数",
        ),
    ],
)
def test_a_reason_is_shown_in_the_language_of_the_reader(english: str, chinese: str) -> None:
    assert (in_language(english, "zh"), in_language(english, "en")) == (chinese, english)
    assert is_own(english)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The prompt was fine, but the image is unsafe",
        "HTTP 404: task not found",
        "HTTP 502 Bad Gateway (upstream)",
        "HTTP 503 Service Unavailable: overloaded",
        "code 1203: task not found",
        "Error; try again; later",
        "the answer is 42",
        "10 minutes",
        "{} {n} {0} {",
        "x; " * MOST_CHARS,
    ],
)
def test_the_words_of_others_stay_as_they_are(text: str) -> None:
    assert in_language(text, "zh") == text
    assert not is_own(text)


def test_a_text_that_is_slow_for_naive_parsers_is_read_quickly() -> None:
    for text in ("; ".join(["a, but a: a is a"] * 60), ": ".join("ab" * 300), "1 is; " * 300):
        assert in_language(text, "zh") == text
