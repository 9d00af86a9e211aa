"""Decides when things run and in which order: intake, polling, group commit, dispatch, cleaning."""
