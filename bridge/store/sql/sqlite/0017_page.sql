-- For the status page: the tasks of one account, the newest first, and the tasks whose label begins with a text.
CREATE INDEX watches_by_account ON watches (account, phase, watch_id);
CREATE INDEX watches_by_label ON watches (lower(label), watch_id) WHERE label IS NOT NULL;
