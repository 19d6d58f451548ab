"""The spans that a round leaves behind."""

import asyncio

from tests.engine.controller_process import Controller
from zeroloop.core.rounds import Round

SERVICES = {"controller", "inference", "reward", "execution", "buffer", "trainer"}
STEPS = ("propose", "validate", "estimate", "solve", "reward", "commit", "weights.roll")

WRITTEN_S = 2.5
"""The last spans are written a second after they end."""


async def assert_one_trace(played: Controller, run: str, known: Round) -> None:
    """A round is one tree of spans through all processes; each step is a child of its root."""
    trace_id = known.traceparent.split("-")[1]
    await asyncio.sleep(WRITTEN_S)
    spans = [span for span in played.spans(run) if span["trace_id"] == trace_id]
    by_id = {span["span_id"]: span for span in spans}

    services = {span["service"].removeprefix("zeroloop-") for span in spans}
    assert services >= SERVICES
    (root,) = [span for span in spans if span["name"] == "zeroloop.round"]
    assert root["parent_id"] == ""
    for name in (f"zeroloop.{step}" for step in STEPS):
        (span,) = [s for s in spans if s["name"] == name and s["service"] == "zeroloop-controller"]
        assert span["parent_id"] == root["span_id"], name
    for span in spans:
        if span is not root:
            assert span["parent_id"] in by_id, f"{span['name']} has lost its parent"
    names = {span["name"] for span in spans}
    assert names >= {"zeroloop.train", "zeroloop.weights.apply"}
