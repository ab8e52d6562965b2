"""The real engine between two faulty sides, in one thread, under a clock that only moves when told (see README.md)."""
