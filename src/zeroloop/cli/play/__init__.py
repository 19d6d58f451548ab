"""`zeroloop play`: rounds of self-play on this machine, from start to report."""
