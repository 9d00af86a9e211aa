-- What is fixed of a delivery's address at the commit, where the URL holds expressions; '' where it is the endpoint's own.
ALTER TABLE deliveries ADD COLUMN address TEXT NOT NULL DEFAULT '';
