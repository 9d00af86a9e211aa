-- Until when nothing is sent to a target, because its service asked for a wait. It also applies after a restart.
CREATE TABLE queues (
    endpoint text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    held_until double precision NOT NULL,
    PRIMARY KEY (endpoint, target)
);
