"""`python -m bridge` is the same as the command `genbridge`."""

from __future__ import annotations

from bridge.cli import main

main()
