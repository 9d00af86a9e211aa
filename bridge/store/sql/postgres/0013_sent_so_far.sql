-- If a delivery becomes several messages: which of them the service has accepted; see bridge/sinks/splitting.py.
ALTER TABLE deliveries ADD COLUMN sent_so_far text NOT NULL DEFAULT '';
