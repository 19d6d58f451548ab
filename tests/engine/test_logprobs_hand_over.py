"""How vLLM's core keeps log-probabilities until a sample ends, on vLLM's own types."""

import gc

import numpy as np
import pytest
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.outputs import LogprobsLists
from vllm.v1.request import Request, RequestStatus

from services.inference.engine.vllm_scheduler import Kept, StepLogprobs


def sample(kind: RequestOutputKind = RequestOutputKind.FINAL_ONLY) -> Request:
    params = SamplingParams(logprobs=0, output_kind=kind)
    return Request("sample", prompt_token_ids=[1], sampling_params=params, pooling_params=None)


def step(*tokens: int, starts: list[int] | None = None) -> LogprobsLists:
    """Of one step: a token's log-probability is its negative, its rank the token times ten."""
    column = np.array(tokens, dtype=np.int32)
    return LogprobsLists(column[:, None], -column[:, None].astype(np.float32), column * 10, starts)


def of(rows: LogprobsLists | None) -> list[tuple[int, float, int]]:
    assert rows is not None
    ids, logprobs = rows.logprob_token_ids, rows.logprobs
    return list(zip(ids[:, 0], logprobs[:, 0], rows.sampled_token_ranks, strict=True))


def test_rows_wait_for_the_end_wherever_the_sample_stands_in_a_step() -> None:
    first, second, kept = sample(), sample(), Kept()
    earlier = StepLogprobs(step(1, 2), {0: first, 1: second}, kept)
    assert earlier.slice_request(0, 1) is None
    assert earlier.slice_request(1, 1) is None
    second.status = RequestStatus.FINISHED_STOPPED
    later = StepLogprobs(step(3, 4), {0: second, 1: first}, kept)
    assert of(later.slice_request(0, 1)) == [(2, -2.0, 20), (3, -3.0, 30)]
    assert later.slice_request(1, 1) is None
    first.status = RequestStatus.FINISHED_LENGTH_CAPPED
    last = StepLogprobs(step(5), {0: first}, kept)
    assert of(last.slice_request(0, 1)) == [(1, -1.0, 10), (4, -4.0, 40), (5, -5.0, 50)]
    assert not kept


def test_a_step_may_bring_several_tokens_of_a_sample_or_none() -> None:
    first, second, kept = sample(), sample(), Kept()
    requests = {0: first, 1: second}
    speculated = StepLogprobs(step(1, 2, 3, 4, starts=[0, 3]), requests, kept)
    assert speculated.slice_request(0, 2) is None
    assert speculated.slice_request(1, 0) is None
    first.status = second.status = RequestStatus.FINISHED_STOPPED
    ending = StepLogprobs(step(5, 6), requests, kept)
    assert [token for token, _, _ in of(ending.slice_request(0, 1))] == [1, 2, 5]
    assert [token for token, _, _ in of(ending.slice_request(1, 1))] == [6]


def test_a_neighbour_that_wants_more_columns_does_no_harm() -> None:
    drawn, kept = sample(), Kept()
    beside = step(1)
    wide = LogprobsLists(
        np.hstack([beside.logprob_token_ids, [[9]]]),
        np.hstack([beside.logprobs, [[-9.0]]]),
        beside.sampled_token_ranks,
    )
    assert StepLogprobs(wide, {0: drawn}, kept).slice_request(0, 1) is None
    drawn.status = RequestStatus.FINISHED_STOPPED
    rows = StepLogprobs(step(2), {0: drawn}, kept).slice_request(0, 1)
    assert of(rows) == [(1, -1.0, 10), (2, -2.0, 20)]


def test_whoever_wants_every_step_gets_every_step() -> None:
    kept = Kept()
    rows = StepLogprobs(step(7), {0: sample(RequestOutputKind.DELTA)}, kept).slice_request(0, 1)
    assert [token for token, _, _ in of(rows)] == [7]
    assert not kept


@pytest.mark.parametrize("steps", [1, 100])
def test_nothing_is_kept_of_a_sample_that_was_called_off(steps: int) -> None:
    called_off, kept = sample(), Kept()
    for _ in range(steps):
        StepLogprobs(step(1), {0: called_off}, kept).slice_request(0, 1)
    assert len(kept) == 1
    del called_off
    gc.collect()
    assert not kept
