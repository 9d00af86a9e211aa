"""Settings with their secrets, for the few commands that need them. The others run in shells that lack them."""

from __future__ import annotations

import os

from bridge import logs
from bridge.cli.session import Session
from bridge.config import load
from bridge.config.load import Loaded


def resolved(session: Session) -> Loaded:
    """The settings with every secret read; from here on the log hides them. ConfigError names what is missing."""
    loaded = load.resolve(session.checked(resolvable=True), os.environ)
    logs.hide(load.secrets(loaded, os.environ))
    return loaded
