"""A believable fleet from a seed: its cars' lives, the records they send, and what goes wrong on the way."""
