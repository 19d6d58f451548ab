"""Steps in their order."""
