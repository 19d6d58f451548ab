"""The SDK against a platform behind the real wire."""

from collections.abc import Iterator

import pytest

from tests.unit.sdk.fake_platform import FakePlatform


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    with FakePlatform() as platform:
        yield platform
