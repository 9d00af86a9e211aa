"""The words of the default chat texts, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from bridge.domain.event import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatWording:
    """The words of one language. Texts in braces are placeholders.

    `outcomes` are the values of the template name `outcome`; `tails` end the first line. `one` and `many` say what a
    task made. `open_one` is the label of a single link, `open_each` the label of each of several links. `units` are
    days, hours, minutes, seconds, and minutes without seconds. `counted` is the advice when the number of tasks is
    known, for one and for several; `copies` counts copies in the same way.
    """

    outcomes: Mapping[Topic, str]
    tails: Mapping[Topic, str]
    progress: str
    advice: Mapping[Topic, str]
    counted: Mapping[Topic, tuple[str, str]]
    one: Mapping[str, str]
    many: Mapping[str, str]
    made: Mapping[str, str]
    made_one: str
    task: str
    story: str
    open_one: Mapping[str, str]
    open_each: Mapping[str, str]
    unlabeled: str
    account: str
    endpoint: str
    units: tuple[str, str, str, str, str]
    took: str
    after: str
    until: str
    each: str
    pair: str
    comma: str
    sentence: str
    then: str
    with_code: str
    code: str
    with_codes: str
    gone: tuple[str, str]
    missing: tuple[str, str]
    timed_out: str
    answered: str
    was_blocked: str
    inside: str
    needs_key: str
    copies: tuple[str, str]


_WORDS: Final[Mapping[str, Any]] = {
    "outcomes": {
        Topic.TASK_SUCCEEDED: ("succeeded", "成功"),
        Topic.TASK_FAILED: ("failed", "失败"),
        Topic.TASK_CANCELED: ("canceled", "已取消"),
        Topic.TASK_NOT_FOUND: ("not found", "不存在"),
        Topic.TASK_TIMED_OUT: ("timed out", "超时"),
        Topic.TASK_RUNNING: ("running", "生成中"),
        Topic.TASK_PROGRESS: ("running", "生成中"),
        Topic.TASK_ARCHIVED: ("archived", "已归档"),
        Topic.ACCOUNT_BLOCKED: ("blocked", "不可用"),
        Topic.ACCOUNT_RESTORED: ("restored", "已恢复"),
        Topic.ENDPOINT_DISABLED: ("disabled", "已停用"),
        Topic.ENDPOINT_FAILING: ("failing", "持续失败"),
        Topic.ENDPOINT_RECOVERED: ("working again", "已恢复"),
        Topic.UNKNOWN_STATUS: ("an answer could not be read", "返回了无法识别的响应"),
    },
    "tails": {
        Topic.TASK_SUCCEEDED: ("", ""),
        Topic.TASK_FAILED: (" failed", " 失败"),
        Topic.TASK_CANCELED: (" was canceled", " 已取消"),
        Topic.TASK_NOT_FOUND: (" was not found", " 任务不存在"),
        Topic.TASK_TIMED_OUT: (" timed out", " 超时"),
        Topic.TASK_RUNNING: (" is running", " 生成中"),
        Topic.TASK_PROGRESS: (" is running", " 生成中"),
        Topic.TASK_ARCHIVED: (" is archived", " 已归档"),
        Topic.ACCOUNT_BLOCKED: (" is blocked", " 不可用"),
        Topic.ACCOUNT_RESTORED: (" works again", " 已恢复"),
        Topic.ENDPOINT_DISABLED: (" is disabled", " 已停用"),
        Topic.ENDPOINT_FAILING: (" keeps failing", " 持续失败"),
        Topic.ENDPOINT_RECOVERED: (" works again", " 已恢复"),
        Topic.UNKNOWN_STATUS: (" sent an answer that genbridge cannot read", " 返回了无法识别的响应"),
    },
    "progress": (": {percent} %", " 生成中，{percent}%"),
    "advice": {
        Topic.ACCOUNT_BLOCKED: ("Its tasks are waiting; they resume by themselves.", "任务已保留，恢复后自动继续。"),
        Topic.ACCOUNT_RESTORED: ("Its tasks resume.", "任务自动继续。"),
        Topic.ENDPOINT_DISABLED: (
            "Its deliveries are waiting: genbridge enable {name}",
            "通知已保留，恢复命令：genbridge enable {name}",
        ),
        Topic.ENDPOINT_FAILING: (
            "Its deliveries are retried: genbridge deliveries --endpoint {name}",
            "通知会自动重试，查看：genbridge deliveries --endpoint {name}",
        ),
        Topic.ENDPOINT_RECOVERED: (
            "Its waiting deliveries are sent when their next retry is due.",
            "未送达的通知会在下次重试时发送。",
        ),
        Topic.UNKNOWN_STATUS: ("To see all such answers: genbridge status", "查看全部：genbridge status"),
    },
    "counted": {
        Topic.ACCOUNT_BLOCKED: (
            ("1 task is waiting; it resumes by itself.", "{n} tasks are waiting; they resume by themselves."),
            ("1 个任务已保留，恢复后自动继续。", "{n} 个任务已保留，恢复后自动继续。"),
        ),
        Topic.ACCOUNT_RESTORED: (
            ("1 task resumes.", "{n} tasks resume."),
            ("1 个任务自动继续。", "{n} 个任务自动继续。"),
        ),
    },
    "one": {
        "videos": ("1 video", "1 个视频"),
        "images": ("1 image", "1 张图"),
        "audios": ("", ""),
        "texts": ("", ""),
        "files": ("1 file", "1 个文件"),
    },
    "many": {
        "videos": ("{n} videos", "{n} 个视频"),
        "images": ("{n} images", "{n} 张图"),
        "audios": ("{n} versions", "{n} 个版本"),
        "texts": ("{n} texts", "{n} 段文本"),
        "files": ("{n} files", "{n} 个文件"),
    },
    "made": {
        "videos": ("Video", "视频"),
        "images": ("Images", "图片"),
        "audios": ("Audio", "音频"),
        "texts": ("Text", "文本"),
        "files": ("File", "文件"),
    },
    "made_one": ("Image", "图片"),
    "task": ("Task", "任务"),
    "story": ("Story", "详情"),
    "open_one": {
        "videos": ("Watch the video", "观看视频"),
        "images": ("Open the image", "查看图片"),
        "audios": ("Listen to it", "播放"),
        "texts": ("Open the text", "查看文本"),
        "files": ("Download the file", "下载文件"),
    },
    "open_each": {
        "videos": ("Video {n}", "视频 {n}"),
        "images": ("Image {n}", "图片 {n}"),
        "audios": ("Version {n}", "版本 {n}"),
        "texts": ("Text {n}", "文本 {n}"),
        "files": ("File {n}", "文件 {n}"),
    },
    "unlabeled": ("{made} from {account}, {id}", "{account} 的{made}，{id}"),
    "account": ("Account {name}", "账号 {name}"),
    "endpoint": ("Endpoint {name}", "接收端 {name}"),
    "units": (("d", "h", "min", "s", "min"), ("天", "小时", "分", "秒", "分钟")),
    "took": ("took {span}", "用时 {span}"),
    "after": ("after {span}", "{span}后"),
    "until": ("until {time} ({left})", "有效至 {time}（剩 {left}）"),
    "each": ("{count}, {length} each", "{count}，各 {length}"),
    "pair": ("{first} and {last}", "{first} 和 {last}"),
    "comma": (", ", "，"),
    "sentence": ("{text}.", "{text}。"),
    "then": (" ", ""),
    "with_code": ("{text} (code {code})", "{text}（{code}）"),
    "code": ("code {code}", "代码 {code}"),
    "with_codes": ("{text} ({codes})", "{text}（{codes}）"),
    "gone": (
        (" is done, but its result is gone", "The provider has already deleted it."),
        (" 已完成，但结果已失效", "服务商已删除该结果。"),
    ),
    "missing": (
        (" is done, but without a result", "The provider's answer holds no result."),
        (" 已完成，但没有结果", "服务商的响应中没有结果。"),
    ),
    "timed_out": (
        "Not finished after {span}; it may still finish at {account}.",
        "{span}后仍未完成，{account} 之后可能仍会完成。",
    ),
    "answered": ("It answered {reason}.", "它返回了 {reason}。"),
    "was_blocked": ("It was blocked for {span}.", "中断了 {span}。"),
    "inside": (
        "The result came inside the provider's answer, without a link.",
        "结果直接包含在服务商的响应中，没有链接。",
    ),
    "needs_key": ("opens only with the API key", "须用 API 密钥打开"),
    "copies": (("1 copy, {size}", "{n} copies, {size}"), ("1 个副本，{size}", "{n} 个副本，{size}")),
}
"""Each text in English and Chinese."""


def _wording(place: int) -> ChatWording:
    """The words of one language; `place` is its index in each pair."""
    words: dict[str, Any] = {
        name: {key: pair[place] for key, pair in found.items()} if isinstance(found, Mapping) else found[place]
        for name, found in _WORDS.items()
    }
    return ChatWording(**words)


ENGLISH: Final = _wording(0)
CHINESE: Final = _wording(1)
LANGUAGES: Final[Mapping[str, ChatWording]] = MappingProxyType({"en": ENGLISH, "zh": CHINESE})
"""The words of each language, by its name in the settings."""

MARKS: Final[Mapping[str, str]] = MappingProxyType(
    {"videos": "🎬", "images": "🖼️", "audios": "🎵", "texts": "📝", "files": "📎"}
)
TOPIC_MARKS: Final[Mapping[Topic, str]] = MappingProxyType(
    {
        Topic.TASK_FAILED: "⚠️",
        Topic.TASK_CANCELED: "⚠️",
        Topic.TASK_NOT_FOUND: "⚠️",
        Topic.TASK_TIMED_OUT: "⏳",
        Topic.ACCOUNT_BLOCKED: "🔒",
        Topic.ACCOUNT_RESTORED: "✅",
        Topic.ENDPOINT_DISABLED: "🔌",
        Topic.ENDPOINT_FAILING: "⚠️",
        Topic.ENDPOINT_RECOVERED: "✅",
        Topic.UNKNOWN_STATUS: "⚠️",
    }
)
"""The marks of all topics except success, which has the mark of its result."""
