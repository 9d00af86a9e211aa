"""Builds the parts of a daemon from the settings, and connects the rooms, which do not know each other."""
