"""Where watches come from: the watchlist, the drop folder, the file of lines."""

from __future__ import annotations
