-- Whose store this is, where several settings files could take it for theirs; see bridge/placing.
ALTER TABLE store ADD COLUMN settings TEXT;  -- the path of the settings file; NULL: not known
ALTER TABLE store ADD COLUMN base_urls TEXT NOT NULL DEFAULT '{}';  -- JSON: of each account as last polled
