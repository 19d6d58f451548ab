"""Fixtures that several service tests share."""

from tests.services.postgres import postgres as postgres
