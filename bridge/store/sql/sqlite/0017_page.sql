-- For the status page: the tasks that finished last, those of one account, and those whose label begins with a text.
CREATE INDEX watches_finished ON watches (ended_at, watch_id, phase)
    WHERE ended_at IS NOT NULL AND is_tombstone = 0 AND phase <> 'withdrawn';
CREATE INDEX watches_by_account ON watches (account, phase, watch_id);
CREATE INDEX watches_by_label ON watches (lower(label), watch_id) WHERE label IS NOT NULL;
