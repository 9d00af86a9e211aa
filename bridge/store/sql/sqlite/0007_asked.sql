-- When the last poll of a watch was answered: after a restart, the watch whose last poll is oldest is polled first.
ALTER TABLE watches ADD COLUMN asked_at REAL;
