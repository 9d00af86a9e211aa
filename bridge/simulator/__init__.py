"""The simulated provider and the webhook receiver of `genbridge demo` and `simulate`, and the plan of the demo."""

from __future__ import annotations
