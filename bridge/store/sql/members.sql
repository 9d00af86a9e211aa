-- id: Part of the following: the id of a member.
name || '#' || fence

-- all: The members, and what they serve.
SELECT {id}, scopes FROM members

-- holders: Who holds the shares.
SELECT scope, slot, {id} FROM shares JOIN members USING (fence)

-- join: Become a member.
INSERT INTO members (name, scopes, lease_until)
VALUES (:name, :scopes, clock_timestamp() + make_interval(secs => :lease_s)) RETURNING fence, {id}

-- over: Remove these members, the one with the id `former`, and those whose lease is over. No lease lasts longer than
-- ten minutes: one that ends later was written before the server's clock was set back.
DELETE FROM members WHERE fence IN (
    SELECT fence FROM members WHERE fence IN (:fences[]) OR {id} = :former
        OR lease_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '10 minutes'
    FOR UPDATE SKIP LOCKED)

-- renew: Renew a lease that is not over.
UPDATE members SET scopes = :scopes, lease_until = clock_timestamp() + make_interval(secs => :lease_s)
FROM (SELECT scopes AS before FROM members WHERE fence = :fence) AS old
WHERE fence = :fence AND lease_until > clock_timestamp()
RETURNING {id}, before <> scopes, (SELECT version FROM genbridge_store)

-- release (scope text, slot int, fence int): Release shares.
DELETE FROM shares USING {new}
WHERE shares.scope = new.scope AND shares.slot = new.slot AND shares.fence = new.fence

-- claim (scope text, slot int, fence int): Take shares that are free.
INSERT INTO shares (scope, slot, fence) SELECT scope, slot, fence FROM {new} WHERE true ON CONFLICT DO NOTHING
RETURNING scope, slot
