-- Answers that genbridge could not read, by account and by what was unknown: a status word, too_large, unknown_route.
CREATE TABLE unread_answers (
    account text COLLATE "C" NOT NULL,
    word text COLLATE "C" NOT NULL,
    answers bigint NOT NULL,
    first_at double precision NOT NULL,
    last_at double precision NOT NULL,
    reason text NOT NULL,
    told_at double precision,  -- when people were notified; NULL: not notified, because there were too many that day
    PRIMARY KEY (account, word)
);
