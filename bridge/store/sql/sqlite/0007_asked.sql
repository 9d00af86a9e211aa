-- When the last poll of a watch was answered: after a restart the one asked longest ago comes first.
ALTER TABLE watches ADD COLUMN asked_at REAL;
