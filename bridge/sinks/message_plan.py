"""The messages of one delivery to people, and the order in which they are sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.sinks.attached_files import REFUSED_FILE
from bridge.sinks.splitting import count_sent, mark_sent


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePlan:
    """What one attempt sends: `whole`, or else `parts` and then `follow_up`.

    `whole` sends the text and its files in one message. It returns None if the service answered with a refusal, so that
    it showed nothing. `parts` send the text; each has a text that identifies it in later attempts. `follow_up` sends
    the files after them and returns a note; a failure changes nothing, because the text was already accepted. `note`:
    why there are no files.
    """

    parts: Sequence[tuple[str, Callable[[], Awaitable[Outcome]]]]
    whole: Callable[[], Awaitable[Outcome | None]] | None = None
    follow_up: Callable[[], Awaitable[str]] | None = None
    note: str = ""

    async def send(self, sent_so_far: str) -> Outcome:
        """Make the attempt. If an earlier attempt failed, continue with the message that failed.

        Files never affect the outcome: without them, or if the service refuses them, the text is sent with its links.
        """
        note = self.note
        if self.whole is not None and not sent_so_far:
            outcome = await self.whole()
            if outcome is not None:
                return outcome
            note = REFUSED_FILE
        outcome = await self._send_parts(sent_so_far)
        if not isinstance(outcome, Accepted):
            return outcome
        if self.follow_up is not None:
            note = await self.follow_up()
        return replace(outcome, detail=", ".join(filter(None, (outcome.detail, note))))

    async def _send_parts(self, sent_so_far: str) -> Outcome:
        """Send the parts that earlier attempts have not sent."""
        texts, count, detail, doubt = [text for text, _ in self.parts], len(self.parts), "", ""
        begin = count_sent(texts, sent_so_far)
        for place, (_, send) in enumerate(self.parts[begin:], begin):
            outcome = await send()
            if isinstance(outcome, Accepted):
                detail, doubt = outcome.detail, doubt or outcome.doubt
                continue
            if count > 1:
                outcome = replace(outcome, reason=f"message {place + 1} of {count}: {outcome.reason}")
            return replace(outcome, sent_so_far=mark_sent(texts[:place])) if isinstance(outcome, Deferred) else outcome
        return Accepted(detail=detail if count == 1 else f"{detail}, {count} messages", doubt=doubt)
