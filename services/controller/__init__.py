"""Runs of self-play: what to do next, playing it, and where it runs."""
