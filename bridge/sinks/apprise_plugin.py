"""The Apprise plugin for one URL. Only this file imports Apprise, which takes a quarter of a second and 30 MiB to load.

Each plugin is called directly, in a separate thread. Apprise has one thread pool for all services of a process, so
services that hang would block the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from bridge.config.validators import without_retries
from bridge.domain.quoting import quoted
from bridge.errors import how_to_install
from bridge.sinks import plugin_targets
from bridge.sinks.attached_files import ResultFile
from bridge.sinks.chat_cards import ChatCard, card_markdown
from bridge.sinks.chat_services import service_of
from bridge.sinks.chat_services.chat_service import UNKNOWN
from bridge.sinks.plugin_targets import PluginTarget
from bridge.sinks.requests_hook import recording
from bridge.sinks.splitting import MessageLimit, RestNotice, split_text
from bridge.sinks.texts import WrittenMessage
from bridge.sinks.url_scrubber import without_secrets

CONNECT_TIMEOUT_S: Final = 10.0  # unless the plugin's URL sets one (cto=)

_TITLE_MARKUP: Final = 24  # characters that Apprise may add to a title that it moves into the text


class UnusableUrl(Exception):
    """Apprise has no plugin for this URL. The first argument says why; others are Apprise's words. They may quote the
    URL."""


class ChatMessage(NamedTuple):
    title: str
    body: str
    form: str = ""  # html or markdown; "": the plugin's default for plain text
    plain: str = ""  # the same as plain text, for services that need both

    @property
    def text(self) -> str:
        return f"{self.title}\n{self.body}"


class ApprisePlugin:
    """The plugin for a URL, for use by one thread at a time. UnusableUrl if no plugin fits.

    `timeout_s` applies if the URL itself sets no time-out. `target` restricts the plugin to one of its targets. With
    `previews` the service is asked to show previews of links, if it can be asked.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float | None = None,
        target: PluginTarget | None = None,
        previews: bool = False,
    ) -> None:
        self.plugin = _plugin(url)
        options = _options(url)
        if previews and "preview" not in options and hasattr(self.plugin, "preview"):
            self.plugin.preview = True
        if "footer" not in options and hasattr(self.plugin, "include_footer"):
            self.plugin.include_footer = False  # the footer names the program and the time
        self.schemes = _schemes(self.plugin)
        service = service_of(self.schemes)
        self.facts: Final = UNKNOWN if service is None else service.apprise
        if timeout_s is not None:
            self._set_timeouts(options, timeout_s)
        if target is not None:
            plugin_targets.narrow(self.plugin, target)
        if self.plugin.request_rate_per_sec == _unknown_pause_s():
            self.plugin.request_rate_per_sec = self.facts.pause_s
        self.facts.prepare(self.plugin, options)

    @property
    def service_name(self) -> str:
        return str(self.plugin.service_name)

    @property
    def shown_url(self) -> str:
        """The URL as Apprise shows it to people, without secrets."""
        try:
            return str(self.plugin.url(privacy=True))
        except Exception:  # an error of the plugin must not hide the first reason
            return ""

    def notify(self, message: ChatMessage, *, tone: str, files: Sequence[ResultFile] = ()) -> bool:
        """Send one message. `tone` is one of Apprise's notification types."""
        title, body = message.title, message.body
        source = message.form or self._source_format()
        self.plugin.plain_text = message.plain
        with ExitStack() as stack:
            attach = self._attached(files, stack) if files else None
            return bool(self.plugin.notify(body=body, title=title, notify_type=tone, body_format=source, attach=attach))

    @property
    def takes_files(self) -> bool:
        """Whether the service accepts files at this kind of URL. For example, an incoming webhook of Slack does not."""
        return bool(self.plugin.attachment_support) and self.facts.takes_files(self.plugin)

    @property
    def mixes_targets(self) -> bool:
        """Whether it has several targets that cannot be notified separately."""
        return plugin_targets.are_inseparable(self.plugin)

    @property
    def server(self) -> tuple[str, int] | None:
        """The host and port that it connects to, if its URL contains both; None for a service with a fixed address."""
        plugin = self.plugin
        is_named = "host" in getattr(plugin, "template_tokens", {})  # otherwise it is a token of the service
        host = getattr(plugin, "smtp_host", None) or (plugin.host if is_named else None)
        return (str(host).strip("[]"), int(plugin.port)) if host and plugin.port else None

    def with_files(self, written: WrittenMessage, files: Sequence[ResultFile]) -> ChatMessage | None:
        """One message with both text and files; None if the files must follow in a separate message."""
        card, form = written.card, self.facts.card
        message = self._from_card(card) if card is not None and card.can_be_shown else None
        if card is not None and card.is_replaced:
            message = ChatMessage(written.title, written.body)
        if message is None or not self.facts.joins_files(message.text, files):
            return None
        if card is not None and form is not None and form.with_pictures is not None and message.form == form.format:
            return message._replace(body=form.with_pictures(card, [each.name for each in files]))
        return message

    def _attached(self, files: Sequence[ResultFile], stack: ExitStack) -> Any:
        import apprise

        new_file = partial(_held_file(), stack=stack, asset=self.plugin.asset)
        for name in self.facts.file_options:
            setattr(self.plugin, name, True)
        attach = apprise.AppriseAttachment(asset=self.plugin.asset)
        for each in files:
            attach.add(new_file(content=each.content, name=each.name, mimetype=each.media_type))
        return attach

    def messages(self, written: WrittenMessage, *, notice: RestNotice, files_follow: bool) -> list[ChatMessage]:
        """The messages for this text, in order. The result is the same in every attempt. `notice` is as for
        `split_text`.

        A service with titles gets the title with each message. For others it is the first line of the text. A service
        that shows links by their names gets the card, if it fits.
        """
        plugin, title, body, card = self.plugin, written.title, written.body, written.card
        if plugin.overflow_mode != "upstream":
            return [ChatMessage(title, body)]  # its URL sets another format
        limit = self._limit()
        rich = self._from_card(card, files_follow=files_follow) if card is not None and card.can_be_shown else None
        if rich is not None and self.facts.measure(rich.text) <= limit.size:
            return [rich._replace(plain=f"{title}\n{body}")]
        if plugin.title_maxlen > 0 and not plugin.overflow_amalgamate_title:
            bodies = split_text(body, limit, notice=notice)
            return list(_numbered(title, bodies, most_chars=int(plugin.title_maxlen)))
        if limit.measure(f"{title}\n{body}") + _TITLE_MARKUP <= limit.size:
            return [ChatMessage(title, body)]
        return [ChatMessage("", each) for each in split_text(f"{title}\n{body}", limit, notice=notice)]

    def _from_card(self, card: ChatCard, *, files_follow: bool = False) -> ChatMessage | None:
        """The card in the format that this service shows best; None: use its text."""
        resolved = self.plugin.resolve_format  # a format= in the URL takes precedence
        form = self.facts.card
        if form is not None and not form.takes_odd_urls and card.has_odd_urls:
            return None
        above = form.above_files if form is not None and files_follow else None
        if resolved("text") == "markdown":
            return ChatMessage(card.title, (above or card_markdown)(card), "markdown")
        if form is None or resolved(form.format) != form.format:
            return None
        return ChatMessage(form.title.format(card.title) if form.title else "", (above or form.body)(card), form.format)

    def _set_timeouts(self, options: Sequence[str], timeout_s: float) -> None:
        if "cto" not in options:
            # Email has one time-out for everything: it must not expire while the server reads the message.
            is_email = hasattr(self.plugin, "smtp_host")
            self.plugin.socket_connect_timeout = max(CONNECT_TIMEOUT_S, timeout_s if is_email else 0.0)
        if "rto" not in options:
            self.plugin.socket_read_timeout = timeout_s

    def _limit(self) -> MessageLimit:
        """The plugin's limit. It applies to the text in the plugin's own format."""
        from apprise import conversion

        plugin, source = self.plugin, self._source_format()
        convert: Callable[[Any, Any, str], str] = conversion.convert_between
        shown_as = plugin.resolve_format(source)
        size, most_lines = self.facts.most or int(plugin.body_maxlen), int(plugin.body_max_line_count or 0)
        size_of = self.facts.measure

        def measure(text: str) -> int:
            if most_lines and text.count("\n") >= most_lines:
                return size + 1
            return size_of(str(plugin.dialect_convert(convert(source, shown_as, text), shown_as)))

        return MessageLimit(size=size, measure=measure)

    def _source_format(self) -> Any:
        """The format of genbridge's text. Services set to Markdown get it unchanged, because Apprise would escape its
        URLs."""
        import apprise

        text, markdown = apprise.NotifyFormat.TEXT, apprise.NotifyFormat.MARKDOWN
        return markdown if self.plugin.resolve_format(text) == markdown else text


def usable_plugin(url: str) -> ApprisePlugin:
    """The plugin for a URL. UnusableUrl says why no plugin fits, in one line without secrets. Sends nothing."""
    with recording() as recorded:
        try:
            return ApprisePlugin(url)
        except UnusableUrl as error:
            raise UnusableUrl(without_secrets([*error.args, *recorded.log], url=url)) from None


def check_url(url: str) -> str | None:
    """Why Apprise cannot use this URL, in one line without its secrets; None if it can. Sends nothing."""
    try:
        usable_plugin(without_retries(url))
    except (UnusableUrl, ValueError) as error:
        return str(error)
    return None


def separate_targets(url: str) -> list[PluginTarget]:
    """The targets of a URL, if it has several that can be notified one by one; otherwise empty."""
    if not any(char in url.partition("://")[2] for char in "/?,"):
        return []  # only one host or token, so Apprise need not be loaded
    try:
        return plugin_targets.targets(usable_plugin(url).plugin)
    except UnusableUrl:
        return []  # each attempt reports the reason


def _plugin(url: str) -> Any:
    import apprise

    service = _service(url)
    if service is not None and not service.enabled:
        how = how_to_install("notify", "paho-mqtt>=2", "slixmpp>=1.8", "cryptography>=42")
        raise UnusableUrl(f"the Python package for {service.service_name} is missing: {how}")
    # genbridge's name; none of Apprise's pictures or files; nothing stored on disk; no redirects, which would forward
    # credentials; no retries in addition to genbridge's own.
    asset = apprise.AppriseAsset(
        app_id="genbridge",
        app_desc="genbridge",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        image_path_mask="",
        http_redirects=False,
        default_service_retry=0,
        storage_mode="memory",
        pgp_autogen=False,
        pem_autogen=False,
    )
    try:
        plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
    except Exception as error:
        raise UnusableUrl(f"not a URL Apprise can use: {_why_unusable(url)}", str(error)) from error
    if plugin is None:
        raise UnusableUrl(f"not a URL Apprise can use: {_why_unusable(url)}")
    return plugin


def _service(url: str) -> Any:
    """Apprise's class for the scheme of a URL; None if there is none."""
    from apprise.manager_plugins import NotificationManager

    services: Any = NotificationManager()  # type: ignore[no-untyped-call]
    scheme = url.partition("://")[0].lower()
    return services[scheme] if scheme in services else None


def _why_unusable(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator:
        return "it has no scheme, such as tgram://"
    service = _service(url)
    if service is None:
        return f"unknown service {quoted(scheme)}; https://github.com/caronc/apprise/wiki lists all"
    form = str(service.templates[0]).replace("{schema}", scheme.lower())
    return f"it is incomplete or wrong for {service.service_name}; write it like {form}"


@lru_cache
def _held_file() -> Any:
    """The class of attachments in memory, also for plugins that open the path of a file: Mailgun, Matrix, Mastodon,
    Pushbullet and others. They get a temporary file, which `stack` removes."""
    from apprise.attachment import memory

    in_memory: Any = memory.AttachMemory

    class HeldFile(in_memory):  # type: ignore[misc]
        def __init__(self, *, stack: ExitStack, mimetype: str, **options: Any) -> None:
            super().__init__(**options)
            self._mimetype = mimetype  # set here, because Apprise raises for a type that this machine does not know
            self._stack = stack
            self._written: str | None = None

        @property
        def path(self) -> str:
            if self._written is None:
                folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="genbridge-"))
                file = Path(folder, self.name)
                with self.open() as content:
                    file.write_bytes(content.read())
                self._written = str(file)
            return self._written

    return HeldFile


def _unknown_pause_s() -> float:
    """The pause between two requests of a plugin that sets none itself."""
    import apprise

    return float(apprise.NotifyBase.request_rate_per_sec)


def _schemes(plugin: Any) -> frozenset[str]:
    """The schemes of this plugin's URLs, such as `mmost` and `mmosts`."""
    known = (plugin.protocol, plugin.secure_protocol)
    return frozenset(str(name) for each in known if each for name in ([each] if isinstance(each, str) else each))


def _options(url: str) -> list[str]:
    return [unquote(option.partition("=")[0]).strip().lower() for option in url.partition("?")[2].split("&")]


def _numbered(title: str, bodies: Sequence[str], *, most_chars: int) -> Iterator[ChatMessage]:
    """Each body with the title, numbered if there are several."""
    for place, body in enumerate(bodies, 1):
        number = f" ({place}/{len(bodies)})" if len(bodies) > 1 else ""
        yield ChatMessage(title[: max(most_chars - len(number), 0)] + number, body)
