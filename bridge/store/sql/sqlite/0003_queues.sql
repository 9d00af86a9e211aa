-- Until when nothing is sent to a target, because its service asked for a wait. It also applies after a restart.
CREATE TABLE queues (
    endpoint TEXT NOT NULL,
    target TEXT NOT NULL,
    held_until REAL NOT NULL,
    PRIMARY KEY (endpoint, target)
) WITHOUT ROWID;
