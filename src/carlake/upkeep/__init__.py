"""Upkeep: verify, trace, and what mends a lake."""
