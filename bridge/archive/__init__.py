"""Permanent copies of results, in a folder or a bucket."""
