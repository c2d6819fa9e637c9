"""Engines: what computes. `protocol.py` says what an engine must do."""
