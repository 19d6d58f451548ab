"""Runs as Kubernetes objects: watched, played, their engine and their trainer as pods."""
