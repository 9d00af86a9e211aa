"""The words of the default chat texts, in English and Chinese, and how each topic looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from bridge.domain.event import Topic

K = TypeVar("K")
T = TypeVar("T")


class Said(Generic[T]):
    """A text of `ChatWording` in English and in Chinese. Names in braces are placeholders."""

    def __init__(self, english: T, chinese: T) -> None:
        self._texts = {"en": english, "zh": chinese}

    def __get__(self, words: ChatWording, _: type[ChatWording]) -> T:
        return self._texts[words.language]


def _each(*texts: tuple[K, T, T]) -> Said[Mapping[K, T]]:
    return Said({key: english for key, english, _ in texts}, {key: chinese for key, _, chinese in texts})


@dataclass(frozen=True, slots=True)
class ChatWording:
    """The words in one language of the settings.

    `topics` has, for each topic, the value of the template name `outcome` and the end of the first line. `one` and
    `many` say what a task made. `open_one` is the label of a single link, `open_each` the label of each of several
    links. `units` are days, hours, minutes, seconds, and minutes without seconds. `counted` is the advice when the
    number of tasks is known, for one and for several; `copies` and `more` count in the same way.
    """

    language: str

    topics = _each(
        (Topic.TASK_SUCCEEDED, ("succeeded", ""), ("成功", "")),
        (Topic.TASK_FAILED, ("failed", " failed"), ("失败", " 失败")),
        (Topic.TASK_CANCELED, ("canceled", " was canceled"), ("已取消", " 已取消")),
        (Topic.TASK_NOT_FOUND, ("not found", " was not found"), ("查无此任务", " 查无此任务")),
        (Topic.TASK_TIMED_OUT, ("timed out", " timed out"), ("超时", " 超时")),
        (Topic.TASK_RUNNING, ("running", " is running"), ("进行中", " 进行中")),
        (Topic.TASK_PROGRESS, ("running", " is running"), ("进行中", " 进行中")),
        (Topic.TASK_ARCHIVED, ("archived", " is archived"), ("已归档", " 已归档")),
        (Topic.ACCOUNT_BLOCKED, ("blocked", " is blocked"), ("不可用", " 不可用")),
        (Topic.ACCOUNT_RESTORED, ("restored", " works again"), ("已恢复", " 已恢复")),
        (Topic.ENDPOINT_DISABLED, ("disabled", " is disabled"), ("已停用", " 已停用")),
        (Topic.ENDPOINT_FAILING, ("failing", " keeps failing"), ("持续失败", " 持续失败")),
        (Topic.ENDPOINT_RECOVERED, ("working again", " works again"), ("已恢复", " 已恢复")),
        (
            Topic.UNKNOWN_STATUS,
            ("an answer could not be read", " sent an answer that genbridge cannot read"),
            ("返回了无法识别的响应", " 返回了无法识别的响应"),
        ),
    )
    progress = Said(": {percent} %", " 进行中，{percent}%")
    advice = _each(
        (
            Topic.ACCOUNT_BLOCKED,
            "Its tasks are waiting; they resume by themselves.",
            "任务已保留，恢复后自动继续。",
        ),
        (Topic.ACCOUNT_RESTORED, "Its tasks resume.", "任务自动继续。"),
        (
            Topic.ENDPOINT_DISABLED,
            "Its deliveries are waiting: genbridge enable {name}",
            "通知已保留，恢复命令：genbridge enable {name}",
        ),
        (
            Topic.ENDPOINT_FAILING,
            "Its deliveries are retried: genbridge deliveries --endpoint {name}",
            "通知会自动重试，查看：genbridge deliveries --endpoint {name}",
        ),
        (
            Topic.ENDPOINT_RECOVERED,
            "Its waiting deliveries are sent when their next retry is due.",
            "等待中的通知会在下次重试时发送。",
        ),
        (Topic.UNKNOWN_STATUS, "To see all such answers: genbridge status", "查看全部：genbridge status"),
    )
    counted = _each(
        (
            Topic.ACCOUNT_BLOCKED,
            ("1 task is waiting; it resumes by itself.", "{n} tasks are waiting; they resume by themselves."),
            ("1 个任务已保留，恢复后自动继续。", "{n} 个任务已保留，恢复后自动继续。"),
        ),
        (
            Topic.ACCOUNT_RESTORED,
            ("1 task resumes.", "{n} tasks resume."),
            ("1 个任务自动继续。", "{n} 个任务自动继续。"),
        ),
    )
    one = _each(
        ("videos", "1 video", "1 个视频"),
        ("images", "1 image", "1 张图"),
        ("audios", "", ""),
        ("texts", "", ""),
        ("files", "1 file", "1 个文件"),
    )
    many = _each(
        ("videos", "{n} videos", "{n} 个视频"),
        ("images", "{n} images", "{n} 张图"),
        ("audios", "{n} versions", "{n} 个版本"),
        ("texts", "{n} texts", "{n} 段文本"),
        ("files", "{n} files", "{n} 个文件"),
    )
    made = _each(
        ("videos", "Video", "视频"),
        ("images", "Images", "图片"),
        ("audios", "Audio", "音频"),
        ("texts", "Text", "文本"),
        ("files", "File", "文件"),
    )
    made_one = Said("Image", "图片")
    task = Said("Task", "任务")
    story = Said("Details", "详情")
    open_one = _each(
        ("videos", "Watch the video", "观看视频"),
        ("images", "Open the image", "查看图片"),
        ("audios", "Listen to it", "播放"),
        ("texts", "Open the text", "查看文本"),
        ("files", "Download the file", "下载文件"),
    )
    open_each = _each(
        ("videos", "Video {n}", "视频 {n}"),
        ("images", "Image {n}", "图片 {n}"),
        ("audios", "Version {n}", "版本 {n}"),
        ("texts", "Text {n}", "文本 {n}"),
        ("files", "File {n}", "文件 {n}"),
    )
    unlabeled = Said("{made} from {account}, {id}", "{account} 的{made}，{id}")
    account = Said("Account {name}", "账号 {name}")
    endpoint = Said("Endpoint {name}", "接收端 {name}")
    units = Said(("d", "h", "min", "s", "min"), ("天", "小时", "分", "秒", "分钟"))
    took = Said("took {span}", "用时 {span}")
    after = Said("after {span}", "历时 {span}")
    until = Said("until {time} ({left})", "有效至 {time}（剩 {left}）")
    each = Said("{count}, {length} each", "{count}，各 {length}")
    pair = Said("{first} and {last}", "{first} 和 {last}")
    comma = Said(", ", "，")
    sentence = Said("{text}.", "{text}。")
    then = Said(" ", "")
    with_code = Said("{text} (code {code})", "{text}（{code}）")
    code = Said("code {code}", "代码 {code}")
    with_codes = Said("{text} ({codes})", "{text}（{codes}）")
    gone = Said(
        (" is done, but its result is gone", "The provider has already deleted it."),
        (" 已完成，但结果已失效", "服务商已删除该结果。"),
    )
    missing = Said(
        (" is done, but without a result", "The provider's answer holds no result."),
        (" 已完成，但没有结果", "服务商的响应中没有结果。"),
    )
    timed_out = Said(
        "Not finished after {span}; it may still finish at {account}.",
        "{span}后仍未完成，之后在 {account} 可能还会完成。",
    )
    answered = Said("It answered {reason}.", "它返回了 {reason}。")
    was_blocked = Said("It was blocked for {span}.", "此前有 {span}不可用。")
    inside = Said(
        "The result came inside the provider's answer, without a link.",
        "结果直接包含在服务商的响应中，没有链接。",
    )
    no_reason = Said("The provider gave no reason.", "服务商未说明原因。")
    needs_key = Said("opens only with the API key", "须用 API 密钥打开")
    more = Said(
        ("1 more result: {place}", "{n} more results: {place}"),
        ("另有 1 个结果，见 {place}", "另有 {n} 个结果，见 {place}"),
    )
    rest = Said("the rest: {place}", "其余内容见 {place}")
    copies = Said(("1 copy, {size}", "{n} copies, {size}"), ("1 个副本，{size}", "{n} 个副本，{size}"))


ENGLISH: Final = ChatWording("en")
CHINESE: Final = ChatWording("zh")

MARKS: Final[Mapping[str, str]] = {"videos": "🎬", "images": "🖼️", "audios": "🎵", "texts": "📝", "files": "📎"}


class TopicLook(NamedTuple):
    """How a topic looks in a chat. `mark`: "" if its messages have the mark of their result."""

    tone: str
    mark: str


PLAIN_LOOK: Final = TopicLook("info", "")
TOPIC_LOOKS: Final[Mapping[str, TopicLook]] = {
    Topic.TASK_SUCCEEDED: TopicLook("success", ""),
    Topic.TASK_FAILED: TopicLook("failure", "⚠️"),
    Topic.TASK_CANCELED: TopicLook("warning", "⚠️"),
    Topic.TASK_NOT_FOUND: TopicLook("warning", "⚠️"),
    Topic.TASK_TIMED_OUT: TopicLook("failure", "⏳"),
    Topic.TASK_ARCHIVED: TopicLook("success", ""),
    Topic.TASK_RUNNING: PLAIN_LOOK,
    Topic.TASK_PROGRESS: PLAIN_LOOK,
    Topic.ACCOUNT_BLOCKED: TopicLook("warning", "🔒"),
    Topic.ACCOUNT_RESTORED: TopicLook("success", "✅"),
    Topic.ENDPOINT_DISABLED: TopicLook("warning", "🔌"),
    Topic.ENDPOINT_FAILING: TopicLook("warning", "⚠️"),
    Topic.ENDPOINT_RECOVERED: TopicLook("success", "✅"),
    Topic.UNKNOWN_STATUS: TopicLook("warning", "⚠️"),
}
