-- Forms of the status page that were sent, so that each takes effect only once. Every form contains a unique value.
CREATE TABLE forms (
    form text COLLATE "C" PRIMARY KEY,  -- a digest of the form's fields
    used_at double precision NOT NULL
);
