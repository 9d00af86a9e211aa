-- `reason`: what the receiver answered when it asked for a wait; empty if the queue only waits to keep the order.
-- A change of the settings (another fingerprint) ends the wait.
ALTER TABLE queues ADD COLUMN reason text NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN fingerprint text;
