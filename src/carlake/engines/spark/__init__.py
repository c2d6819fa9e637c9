"""Spark computes: the same tables, contracts and SQL on many machines, published by the same guarded commit."""
