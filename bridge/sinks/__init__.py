"""Code that can hand an event to one kind of endpoint. Apprise is not loaded by importing this room."""

from __future__ import annotations
