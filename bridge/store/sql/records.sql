-- durations: How long each kind of task takes.
SELECT account, action, variant, sums FROM durations

-- locked_durations: The same of one kind; nobody changes it until the transaction has ended.
{durations} WHERE account = :account AND action = :action AND variant = :variant {postgres:FOR UPDATE}

-- set_durations: Store how long a kind of task takes.
UPDATE durations SET sums = :sums WHERE account = :account AND action = :action AND variant = :variant
