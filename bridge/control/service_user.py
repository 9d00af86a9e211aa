"""What root finds when it checks the settings of the service, whose user has fewer rights."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bridge.domain.finding import Finding, Level
from bridge.wiring.store_location import SYSTEM_STORE, is_service

NAME: Final = "genbridge"
FOLDERS: Final = "its own folders are /var/lib/genbridge and /var/spool/genbridge"


def service_user(settings: Path) -> pwd.struct_passwd | None:
    """The service's user, if this is root and these are the service's settings: the owner of the service's folder, or
    before the first start the user that the installation makes."""
    if os.geteuid() != 0 or not is_service(settings):
        return None
    found = None
    with suppress(OSError, KeyError):
        folder = SYSTEM_STORE.parent
        found = pwd.getpwuid(folder.stat().st_uid) if folder.exists() else pwd.getpwnam(NAME)
    return found if found and found.pw_uid else None


def seen_by(user: pwd.struct_passwd | None, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What `look` finds, and what only this user finds, instead of what is fine for root. The latter are warnings,
    because the unit may give the service more rights than its user has."""
    found = list(look())
    if user is None:
        yield from found
        return
    with _rights_of(user):
        theirs = [one for one in look() if one.level is not Level.OK and one not in found]
    things = {one.thing for one in theirs}
    yield from (one for one in found if one.level is not Level.OK or one.thing not in things)
    for one in theirs:
        yield Finding(Level.WARNING, one.thing, f"as user {user.pw_name}: {one.seen}; {FOLDERS}")


@contextmanager
def _rights_of(user: pwd.struct_passwd) -> Iterator[None]:
    """Files are accessed with this user's rights."""
    group, groups = os.getegid(), os.getgroups()
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
