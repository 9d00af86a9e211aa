"""Tells those who follow a stream, or wait for a task, what the daemon commits; and records when tasks were polled."""
