"""The learned cadence: how long tasks take, and when it is best to poll them.

bins               the age scale, and integrals along it
table              observations of one kind of task: decaying counts and seconds
fit                a hazard and quantiles from a table (and a table of similar tasks)
poll_rate          the next poll from a hazard: r = c h^(1/3), integrated until it reaches 1; also for many tasks
progress           how a provider's progress in percent changes the hazard
budget             the number c: how much promptness is worth
learned_durations  the tables of all kinds of task, unsaved observations, and their fits
forecast           expected finish times, as instants and in words

Theory: minimizing polls + worth x delay^2 over the poll rate r(t) gives r proportional to h(t)^(1/3), where h is the
hazard of finishing. Because of the square, the longest delays are about as long as with a fixed interval. Without it
the exponent would be 1/2, which saves 4 % more polls on average but makes the longest delays longer.
"""
