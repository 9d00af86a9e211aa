"""The purposes of the random keys in a store. The daemons of a shared store use the same keys."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

KEY_BYTES: Final = 32


class KeyPurpose(StrEnum):
    """Each purpose has its own key, so that one can be replaced without the others."""

    CALLBACKS = "callbacks"  # the secrets in callback addresses
    RESULTS = "results"  # the signatures of links to copies
    FORMS = "forms"  # the forms of the page
