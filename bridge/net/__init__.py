"""Sockets outwards: the one HTTP client. Only this room (and tests) imports httpx."""
