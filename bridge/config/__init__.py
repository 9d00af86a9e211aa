"""The settings: found, read, checked as a whole, and their secrets resolved on demand; and YAML read safely."""

from __future__ import annotations
