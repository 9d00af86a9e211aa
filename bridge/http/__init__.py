"""The HTTP front end: what programs and browsers can ask for. `serving` starts it; nothing is imported without it."""
