"""Which forms of the status page were sent. The daemons of a shared store see the same ones, also after a restart."""

from __future__ import annotations

from bridge.store.read_store import ReadStore
from bridge.store.sql_files import SQL


class FormStore(ReadStore):
    """Remembers forms by a digest."""

    def use_form(self, form: str, *, now: float, kept_s: float) -> bool:
        """Note that this form is carried out. False when it was already, lately: older ones than `kept_s` are
        forgotten."""
        with self._database.write() as session:
            session.execute(SQL["commands.forget_forms"], before=now - kept_s)
            return session.execute(SQL["commands.use_form"], form=form, now=now) == 1

    def free_form(self, form: str) -> None:
        """It had no effect, and may be sent again."""
        with self._database.write() as session:
            session.execute(SQL["commands.free_form"], form=form)
