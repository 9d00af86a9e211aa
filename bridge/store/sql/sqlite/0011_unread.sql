-- Answers that genbridge could not read, by account and by what was unknown: a status word, too_large, unknown_route.
CREATE TABLE unread_answers (
    account TEXT NOT NULL,
    word TEXT NOT NULL,
    answers INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    reason TEXT NOT NULL,
    told_at REAL,  -- when people were notified; NULL: not notified, because there were too many that day
    PRIMARY KEY (account, word)
) WITHOUT ROWID;
