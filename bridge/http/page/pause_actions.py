"""The form that ends a pause."""

from __future__ import annotations

from typing import Final

from bridge.control.pausing import SECTIONS, resume
from bridge.domain.pause import PauseOf
from bridge.http.page.actions import ActionCall, Done, FormAction, NothingDone
from bridge.http.page.view import ViewQuery


class OnePause(ViewQuery):
    """An account or endpoint."""

    of: PauseOf
    name: str


async def resume_one(call: ActionCall) -> Done:
    """End the pause of an account or endpoint."""
    form: OnePause = call.form
    words = call.words
    section = next(section for section, of in SECTIONS.items() if of is form.of)
    wanted = f"{section}.{form.name}"
    _, name, was_paused = await call.services.write(resume, call.services.settings(), wanted, now=call.now)
    if not was_paused:
        raise NothingDone(words.text("{name} is not paused.", name=name))
    if form.of is PauseOf.ACCOUNT:
        return Done(text=words.text("{name} is polled again.", name=name))
    return Done(text=words.text("Deliveries to {name} are sent again.", name=name))


ACTIONS: Final = (FormAction(name="resume", form=OnePause, button=lambda words: words.text("Resume"), run=resume_one),)
