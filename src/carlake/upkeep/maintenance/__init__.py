"""Maintenance: what grows with every commit, and is kept small."""
