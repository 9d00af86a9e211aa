"""What genbridge costs and how soon it tells, measured beside others: `python -m benchmarks`, from the checkout.

A subject is a module with `run(quick)`, which measures and returns a `Report`. Ratios are taken within one run, sides
alternating; CPU is user + system time of the measured process; each figure is a median with its spread. The simulated
provider, the receiver and each measured side are processes of their own.
"""
