"""What genbridge costs and how fast it notifies, next to others: `python -m benchmarks`, from the checkout.

A subject is a module with `run(quick)`, which measures and returns a `Report`. Ratios compare sides of one run,
which alternate. CPU is user + system time of the measured process. Each figure is a median with its spread. The
simulated provider, the receiver and each measured side are separate processes.
"""
