"""JMESPath queries and regular expressions from the settings, each within a budget.

No expression can stall the event loop or fill the memory. Nothing is imported here, so that commands that only read
settings load neither engine.
"""
