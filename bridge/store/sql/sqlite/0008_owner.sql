-- Which settings file owns this store, if several could use it; see bridge/wiring/store_location.py.
ALTER TABLE store ADD COLUMN settings TEXT;  -- the path of the settings file; NULL: unknown
ALTER TABLE store ADD COLUMN base_urls TEXT NOT NULL DEFAULT '{}';  -- JSON: each account's last base URL
