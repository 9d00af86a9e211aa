"""Sends events to endpoints: webhooks, group robots, and Apprise. Importing this package does not load Apprise.

Before an event is stored, `payloads` or `texts` render the body of each delivery. Later, `webhook` and `robot` send it
with `posting`, and `chat` sends it with a plugin of Apprise. The messages of a robot or a chat are sent in the order of
their `message_plan`. `answers` reads an answer, and `judging` decides the outcome. Each chat service is described by a
file in `chat_services`.
"""
