"""Headers in which a client lists what it accepts, such as Accept and Accept-Language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def accepted(header: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Each item in lower case, with its parameters and its weight (`q`; 0 if that is not a number)."""
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        values = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        try:
            weight = float(values.get("q", "1"))
        except ValueError:
            weight = 0.0
        yield name, values, weight
