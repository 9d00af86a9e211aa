-- The part of a delivery's address that is fixed at the commit, if the URL has expressions; '' if the URL has none.
ALTER TABLE deliveries ADD COLUMN address TEXT NOT NULL DEFAULT '';
