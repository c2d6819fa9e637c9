"""Erasure: a car forgotten, in every place and every snapshot."""
