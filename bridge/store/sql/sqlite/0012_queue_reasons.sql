-- Why a queue is held: what the receiver answered when it asked for a wait; empty when only the order is kept.
-- Settings other than those with this fingerprint lift it.
ALTER TABLE queues ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN fingerprint TEXT;
