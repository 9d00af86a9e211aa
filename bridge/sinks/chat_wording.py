"""The words of the default chat texts, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bridge.domain.event import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatWording:
    """The words of one language. Texts in braces are replaced.

    `outcomes` are for the template name `outcome`, `tails` end the first line. `one` and `many` say what a task made;
    `open_one` is the label of its only link, `open_each` of each of several. `units` are days, hours, minutes, seconds,
    and minutes without seconds. `counted` is the advice when the number of tasks is known, for one and for several;
    `copies` counts copies the same way.
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
    gone: tuple[str, str]
    missing: tuple[str, str]
    timed_out: str
    answered: str
    was_blocked: str
    inside: str
    needs_key: str
    copies: tuple[str, str]


ENGLISH: Final = ChatWording(
    outcomes=MappingProxyType(
        {
            Topic.TASK_SUCCEEDED: "succeeded",
            Topic.TASK_FAILED: "failed",
            Topic.TASK_CANCELED: "canceled",
            Topic.TASK_NOT_FOUND: "not found",
            Topic.TASK_TIMED_OUT: "timed out",
            Topic.TASK_RUNNING: "running",
            Topic.TASK_PROGRESS: "running",
            Topic.TASK_ARCHIVED: "archived",
            Topic.ACCOUNT_BLOCKED: "blocked",
            Topic.ACCOUNT_RESTORED: "restored",
            Topic.ENDPOINT_DISABLED: "disabled",
            Topic.ENDPOINT_FAILING: "failing",
            Topic.ENDPOINT_RECOVERED: "working again",
            Topic.UNKNOWN_STATUS: "an answer could not be read",
        }
    ),
    tails={
        Topic.TASK_SUCCEEDED: "",
        Topic.TASK_FAILED: " failed",
        Topic.TASK_CANCELED: " was canceled",
        Topic.TASK_NOT_FOUND: " was not found",
        Topic.TASK_TIMED_OUT: " timed out",
        Topic.TASK_RUNNING: " is running",
        Topic.TASK_PROGRESS: " is running",
        Topic.TASK_ARCHIVED: " is archived",
        Topic.ACCOUNT_BLOCKED: " is blocked",
        Topic.ACCOUNT_RESTORED: " works again",
        Topic.ENDPOINT_DISABLED: " is disabled",
        Topic.ENDPOINT_FAILING: " keeps failing",
        Topic.ENDPOINT_RECOVERED: " works again",
        Topic.UNKNOWN_STATUS: " sent an answer that genbridge cannot read",
    },
    progress=": {percent} %",
    advice={
        Topic.ACCOUNT_BLOCKED: "Its tasks are waiting; they resume by themselves.",
        Topic.ACCOUNT_RESTORED: "Its tasks resume.",
        Topic.ENDPOINT_DISABLED: "Its deliveries are waiting: genbridge enable {name}",
        Topic.ENDPOINT_FAILING: "Its deliveries are retried: genbridge deliveries --endpoint {name}",
        Topic.ENDPOINT_RECOVERED: "Its waiting deliveries are sent when their next retry is due.",
        Topic.UNKNOWN_STATUS: "To see all such answers: genbridge status",
    },
    counted={
        Topic.ACCOUNT_BLOCKED: (
            "1 task is waiting; it resumes by itself.",
            "{n} tasks are waiting; they resume by themselves.",
        ),
        Topic.ACCOUNT_RESTORED: ("1 task resumes.", "{n} tasks resume."),
    },
    one={"videos": "1 video", "images": "1 image", "audios": "", "texts": "", "files": "1 file"},
    many={
        "videos": "{n} videos",
        "images": "{n} images",
        "audios": "{n} versions",
        "texts": "{n} texts",
        "files": "{n} files",
    },
    made={"videos": "Video", "images": "Images", "audios": "Audio", "texts": "Text", "files": "File"},
    made_one="Image",
    task="Task",
    story="Story",
    open_one={
        "videos": "Watch the video",
        "images": "Open the image",
        "audios": "Listen to it",
        "texts": "Open the text",
        "files": "Download the file",
    },
    open_each={
        "videos": "Video {n}",
        "images": "Image {n}",
        "audios": "Version {n}",
        "texts": "Text {n}",
        "files": "File {n}",
    },
    unlabeled="{made} from {account}, {id}",
    account="Account {name}",
    endpoint="Endpoint {name}",
    units=("d", "h", "min", "s", "min"),
    took="took {span}",
    after="after {span}",
    until="until {time} ({left})",
    each="{count}, {length} each",
    pair="{first} and {last}",
    comma=", ",
    sentence="{text}.",
    then=" ",
    with_code="{text} (code {code})",
    gone=(" is done, but its result is gone", "The provider has already deleted it."),
    missing=(" is done, but without a result", "The provider's answer holds no result."),
    timed_out="Not finished after {span}; it may still finish at {account}.",
    answered="It answered {reason}.",
    was_blocked="It was blocked for {span}.",
    inside="The result came inside the provider's answer, without a link.",
    needs_key="opens only with the API key",
    copies=("1 copy, {size}", "{n} copies, {size}"),
)

CHINESE: Final = ChatWording(
    outcomes=MappingProxyType(
        {
            Topic.TASK_SUCCEEDED: "成功",
            Topic.TASK_FAILED: "失败",
            Topic.TASK_CANCELED: "已取消",
            Topic.TASK_NOT_FOUND: "不存在",
            Topic.TASK_TIMED_OUT: "超时",
            Topic.TASK_RUNNING: "生成中",
            Topic.TASK_PROGRESS: "生成中",
            Topic.TASK_ARCHIVED: "已归档",
            Topic.ACCOUNT_BLOCKED: "不可用",
            Topic.ACCOUNT_RESTORED: "已恢复",
            Topic.ENDPOINT_DISABLED: "已停用",
            Topic.ENDPOINT_FAILING: "持续失败",
            Topic.ENDPOINT_RECOVERED: "已恢复",
            Topic.UNKNOWN_STATUS: "返回了无法识别的响应",
        }
    ),
    tails={
        Topic.TASK_SUCCEEDED: "",
        Topic.TASK_FAILED: " 失败",
        Topic.TASK_CANCELED: " 已取消",
        Topic.TASK_NOT_FOUND: " 任务不存在",
        Topic.TASK_TIMED_OUT: " 超时",
        Topic.TASK_RUNNING: " 生成中",
        Topic.TASK_PROGRESS: " 生成中",
        Topic.TASK_ARCHIVED: " 已归档",
        Topic.ACCOUNT_BLOCKED: " 不可用",
        Topic.ACCOUNT_RESTORED: " 已恢复",
        Topic.ENDPOINT_DISABLED: " 已停用",
        Topic.ENDPOINT_FAILING: " 持续失败",
        Topic.ENDPOINT_RECOVERED: " 已恢复",
        Topic.UNKNOWN_STATUS: " 返回了无法识别的响应",
    },
    progress=" 生成中，{percent}%",
    advice={
        Topic.ACCOUNT_BLOCKED: "任务已保留，恢复后自动继续。",
        Topic.ACCOUNT_RESTORED: "任务自动继续。",
        Topic.ENDPOINT_DISABLED: "通知已保留，恢复命令：genbridge enable {name}",
        Topic.ENDPOINT_FAILING: "通知会自动重试，查看：genbridge deliveries --endpoint {name}",
        Topic.ENDPOINT_RECOVERED: "未送达的通知会在下次重试时发送。",
        Topic.UNKNOWN_STATUS: "查看全部：genbridge status",
    },
    counted={
        Topic.ACCOUNT_BLOCKED: ("1 个任务已保留，恢复后自动继续。", "{n} 个任务已保留，恢复后自动继续。"),
        Topic.ACCOUNT_RESTORED: ("1 个任务自动继续。", "{n} 个任务自动继续。"),
    },
    one={"videos": "1 个视频", "images": "1 张图", "audios": "", "texts": "", "files": "1 个文件"},
    many={
        "videos": "{n} 个视频",
        "images": "{n} 张图",
        "audios": "{n} 个版本",
        "texts": "{n} 段文本",
        "files": "{n} 个文件",
    },
    made={"videos": "视频", "images": "图片", "audios": "音频", "texts": "文本", "files": "文件"},
    made_one="图片",
    task="任务",
    story="详情",
    open_one={
        "videos": "观看视频",
        "images": "查看图片",
        "audios": "播放",
        "texts": "查看文本",
        "files": "下载文件",
    },
    open_each={
        "videos": "视频 {n}",
        "images": "图片 {n}",
        "audios": "版本 {n}",
        "texts": "文本 {n}",
        "files": "文件 {n}",
    },
    unlabeled="{account} 的{made}，{id}",
    account="账号 {name}",
    endpoint="接收端 {name}",
    units=("天", "小时", "分", "秒", "分钟"),
    took="用时 {span}",
    after="{span}后",
    until="有效至 {time}（剩 {left}）",
    each="{count}，各 {length}",
    pair="{first} 和 {last}",
    comma="，",
    sentence="{text}。",
    then="",
    with_code="{text}（{code}）",
    gone=(" 已完成，但结果已失效", "服务商已删除该结果。"),
    missing=(" 已完成，但没有结果", "服务商的响应中没有结果。"),
    timed_out="{span}后仍未完成，{account} 之后可能仍会完成。",
    answered="它返回了 {reason}。",
    was_blocked="中断了 {span}。",
    inside="结果直接包含在服务商的响应中，没有链接。",
    needs_key="须用 API 密钥打开",
    copies=("1 个副本，{size}", "{n} 个副本，{size}"),
)

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
"""The marks of everything but success, whose mark is that of its result."""
