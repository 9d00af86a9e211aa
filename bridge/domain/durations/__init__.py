"""What is known of how long tasks take, and when that makes it worth asking: the learned cadence.

bins        the scale of ages, and the walk along it
table       what has been seen of one kind of task: counts and seconds, forgetting, merging, text form
fit         from a table (and a kindred one) to a hazard, and to the spread of the expected end
rhythm      from a hazard to the next poll: r = c h^(1/3), walked until it sums to one
group       the same for many tasks that share a request
progress    what a provider's per cent adds to the hazard
budget      the number c: how much promptness is worth
knowledge   the tables of all kinds of task, those not yet stored, and their fits

Theory: minimising polls + worth x delay^2 over the poll rate r(t) gives r proportional to h(t)^(1/3), h being the
hazard of the end. The square keeps the tail of the delay where a fixed interval has it; the exponent 1/2 of the plain
delay would save 4 % more in the mean and have a longer tail.
"""
