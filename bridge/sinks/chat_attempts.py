"""The attempts at one Apprise target: one plugin, one bounded thread, one attempt at a time.

The outcome comes from the requests, answers and log of the plugin. Most plugins check only the status of an answer, but
some services refuse a message with HTTP 200.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from anyio import from_thread
from anyio.lowlevel import EventLoopToken

from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome, Refused
from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, AnswerReader, Verdict, object_of, read_nothing, words_of
from bridge.sinks.apprise_plugin import ApprisePlugin, ChatMessage, UnusableUrl
from bridge.sinks.attached_files import REFUSED_FILE, ResultFile, ResultFiles, counted_files
from bridge.sinks.call_threads import CallThreads, CallTimeout, NoFreeThread, NoThread
from bridge.sinks.chat_services import reader_at
from bridge.sinks.chat_wording import PLAIN_LOOK, TOPIC_LOOKS, ChatWording
from bridge.sinks.human_values import rest_notice
from bridge.sinks.judging import judge
from bridge.sinks.neutral import one_line
from bridge.sinks.plugin_targets import PluginTarget
from bridge.sinks.posting import not_attempted
from bridge.sinks.requests_hook import ChatNetwork, Exchange, Recording, recording
from bridge.sinks.splitting import count_sent, mark_sent
from bridge.sinks.texts import WrittenMessage
from bridge.sinks.url_scrubber import without_secrets

THREADS_PER_TARGET: Final = 2  # one for the current attempt, and one for an abandoned attempt that still hangs

# The operator's own programs answer, so any answer can mean success.
_PROGRAMS: Final = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})

# Without HTTP (mail, MQTT, XMPP) only the log is known, and it does not show whether the message was sent. So wait, to
# avoid sending it twice.
_UNANSWERED: Final = re.compile(r"time[d-]?[ -]?out|connection unexpectedly closed", re.IGNORECASE)


class ChatAttempt(NamedTuple):
    """One attempt. It runs in a thread, but its files are downloaded in the event loop of `token`."""

    delivery: Delivery
    written: WrittenMessage
    files: ResultFiles | None
    words: ChatWording
    token: EventLoopToken

    @property
    def tone(self) -> str:
        return TOPIC_LOOKS.get(self.delivery.topic, PLAIN_LOOK).tone


class ChatTarget:
    """One target, or a whole URL. Its plugins are kept between attempts, for their connections and their own rate
    limits. One thread at a time uses a plugin, and after a failure the plugin is dropped."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        timeout_s: float,
        give_up_s: float,
        network: ChatNetwork | None = None,
        target: PluginTarget | None = None,
        previews: bool = False,
    ) -> None:
        self._url = url
        self._give_up_s = give_up_s
        self._network = network
        self._new_plugin = partial(ApprisePlugin, url, timeout_s=timeout_s, target=target, previews=previews)
        self._threads = CallThreads(count=THREADS_PER_TARGET, name=f"chat-{name}")
        self._idle: list[ApprisePlugin] = []

    async def send(self, attempt: ChatAttempt) -> Outcome:
        """Make one attempt. Raises nothing, except for cancellation.

        An attempt that takes longer than the time-out may still succeed, so this waits for its outcome for `give_up_s`.
        Until then nothing else is sent to this target, because its queue waits for this attempt.
        """
        try:
            return await self._threads.run(partial(self._attempt, attempt), timeout_s=self._give_up_s)
        except NoFreeThread as problem:
            return not_attempted(str(problem))
        except NoThread as problem:
            return Deferred(reason=str(problem))
        except CallTimeout as problem:
            return Deferred(reason=str(problem), is_unanswered=True)

    def _attempt(self, attempt: ChatAttempt) -> Outcome:
        """Runs in a thread. Returns an outcome, even if the plugin fails in an unexpected way."""
        with recording(self._network) as recorded:
            plugin: ApprisePlugin | None = None
            sent: list[ChatMessage] = []
            try:
                plugin = self._idle_plugin() or self._new_plugin()
                outcome = _send_all(plugin, attempt, sent, recorded)
                if isinstance(outcome, Accepted):
                    self._idle.append(plugin)
                    return outcome
            except UnusableUrl as error:
                return Deferred(reason=without_secrets([*error.args, *recorded.log], url=self._url))
            # Not only Exception: if a plugin calls sys.exit, the delivery must not be lost.
            except BaseException as error:
                why = f"{type(error).__name__}: {error}"
                schemes = plugin.schemes if plugin is not None else ()
                outcome = replace(failed(recorded.exchanges, schemes, [*recorded.log, why]), reason=why)
            reason = self._reason(outcome.reason, recorded, plugin)
            return replace(outcome, reason=reason, sent_so_far=mark_sent(_texts(sent)))

    def _reason(self, why: str, recorded: Recording, plugin: ApprisePlugin | None) -> str:
        """Why an attempt failed, in one line without secrets."""
        texts = _problems(recorded.exchanges, plugin.schemes) if plugin is not None else []
        texts = texts or [why, *recorded.log]  # Apprise says less than an answer, and adds its raw exceptions
        shown = plugin.shown_url if plugin is not None else ""
        reason = without_secrets(texts, url=self._url, shown=shown)
        return reason or "the service did not accept it and gave no reason"

    def _idle_plugin(self) -> ApprisePlugin | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _send_all(
    plugin: ApprisePlugin, attempt: ChatAttempt, sent: list[ChatMessage], recorded: Recording
) -> Accepted | Deferred:
    """Send the messages of a delivery that were not accepted before; adds accepted ones to `sent`.

    Files never affect the outcome: without them, or if the service refuses them, the message is sent with its links.
    """
    written, sent_so_far = attempt.written, attempt.delivery.sent_so_far
    files, note = _files(plugin, attempt)
    whole = plugin.with_files(written, files) if files else None
    if whole is not None and not sent_so_far:
        recorded.exchanges.clear()
        is_sent = plugin.notify(whole, tone=attempt.tone, files=files)
        outcome = _judged(is_sent, recorded, plugin.schemes)
        if isinstance(outcome, Accepted):
            return replace(outcome, detail=f"{_service(plugin)}, {counted_files(files)}")
        if any(each.is_good for each in recorded.exchanges):  # the first file already carried the text
            return Accepted(detail=f"{_service(plugin)}, without some of its files")
        if outcome.is_unanswered or outcome.delays_queue or not _was_refused(recorded):
            return outcome
        note = REFUSED_FILE
    follows = bool(files) and whole is None
    notice = rest_notice(attempt.delivery.topic, attempt.delivery.subject, attempt.words)
    messages = plugin.messages(written, notice=notice, files_follow=follows)
    sent += messages[: count_sent(_texts(messages), sent_so_far)]
    doubt = ""
    for message in messages[len(sent) :]:
        recorded.exchanges.clear()
        outcome = _judged(plugin.notify(message, tone=attempt.tone), recorded, plugin.schemes)
        if isinstance(outcome, Deferred):
            return outcome
        sent.append(message)
        doubt = doubt or outcome.doubt
    if follows:
        note = _follow_up(plugin, attempt, files)
    return Accepted(detail=", ".join(filter(None, (_service(plugin), note))), doubt=doubt)


def _files(plugin: ApprisePlugin, attempt: ChatAttempt) -> tuple[Sequence[ResultFile], str]:
    """The files to attach; or none, and the reason."""
    card, files = attempt.written.card, attempt.files
    wanted = plugin.facts.files_of(card) if card is not None and plugin.takes_files else ()
    if card is None or files is None or not wanted:
        return (), ""
    most_bytes = plugin.facts.file_bytes(card)
    return from_thread.run(files.of_card, card, wanted, most_bytes, attempt.delivery, token=attempt.token)


def _was_refused(recorded: Recording) -> bool:
    """Whether every request got an answer and none of them was 2xx, so that the service showed nothing. For services
    without HTTP (mail), only the outcome counts."""
    return all(each.answer is not None and not each.is_good for each in recorded.exchanges)


def _follow_up(plugin: ApprisePlugin, attempt: ChatAttempt, files: Sequence[ResultFile]) -> str:
    """Send the files after their text, in one attempt. The text was already accepted, so a failure here changes
    nothing."""
    try:
        if plugin.notify(ChatMessage("", plugin.facts.file_text), tone=attempt.tone, files=files):
            return counted_files(files)
    except Exception as error:  # an error of the plugin with a file
        return f"sent as a link: {type(error).__name__} with the file"
    return REFUSED_FILE


def _service(plugin: ApprisePlugin) -> str:
    return one_line(plugin.service_name, most_chars=60)


def _texts(messages: Sequence[ChatMessage]) -> list[str]:
    return [message.text for message in messages]


def _judged(is_sent: bool, recorded: Recording, schemes: Collection[str]) -> Accepted | Deferred:
    """The outcome of a message that the plugin of these schemes reports as sent, or as failed."""
    if not is_sent:
        return failed(recorded.exchanges, schemes, recorded.log)
    outcomes = [_outcome(each, schemes) for each in recorded.exchanges if each.is_good]
    refused = next((outcome for outcome in outcomes if isinstance(outcome, Deferred)), None)
    doubts = [outcome.doubt for outcome in outcomes if isinstance(outcome, Accepted)]
    return refused or Accepted(detail="", doubt=next(filter(None, doubts), ""))


def failed(exchanges: Sequence[Exchange], schemes: Collection[str], log: Sequence[str]) -> Deferred:
    """The outcome of a message that the plugin reports as failed, with an empty reason."""
    outcomes = [_outcome(each, schemes) for each in exchanges]
    waits = [outcome.retry_after_s for outcome in outcomes if isinstance(outcome, Deferred)]
    known = [wait_s for wait_s in waits if wait_s is not None]
    if exchanges:
        is_unanswered = any(each.is_unanswered for each in exchanges)
    else:
        is_unanswered = any(_UNANSWERED.search(line) for line in log)
    return Deferred(
        reason="", retry_after_s=max(known, default=None), delays_queue=bool(known), is_unanswered=is_unanswered
    )


def _problems(exchanges: Sequence[Exchange], schemes: Collection[str]) -> list[str]:
    """Why there was no answer, and the answers that are refusals. Plugins often leave these details out."""
    outcomes = [_outcome(each, schemes) for each in exchanges]
    refusals = [outcome.reason for outcome in outcomes if isinstance(outcome, Deferred | Refused)]
    return [*[each.problem for each in exchanges if each.problem], *refusals]


def _outcome(exchange: Exchange, schemes: Collection[str]) -> Outcome | None:
    """What an answer means; None for no answer, and for a 2xx answer that is not about a message."""
    if exchange.answer is None or (exchange.is_good and exchange.method == "GET"):
        return None
    read = _reader(exchange.host, schemes)
    return judge(exchange.answer, read(exchange.answer), asked=exchange.url)


def _reader(host: str, schemes: Collection[str]) -> AnswerReader:
    unknown = read_nothing if _PROGRAMS.intersection(schemes) else _read_plain_refusal
    return reader_at(host, schemes) or unknown


def _read_plain_refusal(answer: Answer) -> Verdict:
    """The reader for all other services: only a clear refusal counts."""
    found, _ = object_of(answer)
    is_no = found.get("ok") is False or found.get("success") is False or found.get("errcode", 0) not in (0, "0", None)
    return Verdict(refusal=words_of(answer)) if is_no else ACCEPTED
