"""The HTTP front end, for programs and browsers. `serving` starts it; without `http:` nothing of it is imported."""
