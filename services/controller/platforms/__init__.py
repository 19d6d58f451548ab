"""Where a run can be played. The entry point imports one of these and nobody else does."""
