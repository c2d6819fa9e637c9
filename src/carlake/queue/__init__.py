"""Events of object stores by a queue: what its messages say, and the queue itself."""
