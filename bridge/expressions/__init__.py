"""JMESPath queries and regular expressions from the settings, each with a limited budget.

No expression can block the event loop or fill the memory. Nothing is imported here, so that commands that only read
settings load neither engine.
"""
