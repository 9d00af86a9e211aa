"""Sends what the daemon commits to streams and to requests that wait for a task. Records when tasks were polled."""
