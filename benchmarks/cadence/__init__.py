"""How many polls a schedule needs for a given delay, in simulated time."""
