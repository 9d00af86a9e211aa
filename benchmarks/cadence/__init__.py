"""Polls against delay, in simulated time."""
