"""A lake as it is found, whole or not."""
