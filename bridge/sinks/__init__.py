"""Sends events to endpoints: webhooks, group robots, and Apprise. Importing this package does not load Apprise.

Before an event is stored, `payloads` or `texts` turn it into the bytes of a parcel. Then `webhook` and `robot` send
them by `posting`, and `chat` by a plugin of Apprise. `answers` reads an answer, and `judging` decides the outcome. Each
chat service is described by a file in `chat_services`.
"""

from __future__ import annotations
