"""The simulated provider and the webhook receiver of `genbridge demo` and `simulate`, and the plan of the demo."""
