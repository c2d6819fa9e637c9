"""Releases: back to what the tables were, and on again."""
