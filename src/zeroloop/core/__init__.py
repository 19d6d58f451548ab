"""The algorithm: pure functions and values, no I/O, standard library only."""
