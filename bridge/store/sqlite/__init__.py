"""The store in one SQLite file. Nothing is imported here, so that readers do not load the code that only a daemon
needs."""
