"""Outgoing connections and the HTTP server. Only this room (and tests) imports httpx."""
