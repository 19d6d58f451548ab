"""Absolute Zero self-play as a platform: the client library."""

__version__ = "0.1.0"
