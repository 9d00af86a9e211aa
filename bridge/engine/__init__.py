"""Decides when things run and in which order: intake, polling, group commit, dispatch, cleaning."""

from __future__ import annotations
