"""The simulated provider and the webhook receiver of `genbridge demo` and `genbridge simulate`, and what demo plays."""

from __future__ import annotations
