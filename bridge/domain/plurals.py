"""Counted things in English."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """`1 delivery`, `2 deliveries`."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}es" if noun.endswith("ch") else f"{number} {noun}s"


def and_more(number: int) -> str:
    """` (and 2 more)`, for a text about the first of several; empty for 0."""
    return f" (and {number} more)" if number else ""
