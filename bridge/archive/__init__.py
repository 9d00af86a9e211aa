"""Copies of results that last, in a folder or a bucket."""
