"""Checks: what may be wrong with a lake, how it is found, what mends it."""
