"""Domains of tasks. Each is a plugin; `services.reward.domains.registry` knows them all."""
