"""The buffer: everything with a history."""
