"""What one machine can not give."""

import pytest

from services.controller.options import settings_of
from services.controller.preparing import require_one_machine
from zeroloop.core.runs import RunSpec
from zeroloop.errors import InvalidRequestError


def test_a_run_that_needs_more_than_one_machine_is_told_so() -> None:
    require_one_machine(settings_of(RunSpec(model="m", rounds=1)))
    asked = {"inference.replicas": 2, "training.nodes": 4}
    with pytest.raises(InvalidRequestError) as refused:
        require_one_machine(settings_of(RunSpec(model="m", rounds=1, settings=asked)))
    assert [violation.problem for violation in refused.value.violations] == [
        "must be 1 on one machine, got 2",
        "must be 1 on one machine, got 4",
    ]
