"""A whole round on another architecture, with a BPE tokenizer and the prompts of real models.

The seedling is a Llama that reads characters and short prompts; what works with both models
depends on none of these. Every part is real: vLLM, gVisor, DeepSpeed, SQLite, gRPC.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from transformers import AutoTokenizer

from models.recipe.bpe import build_bpe_model
from tests.engine.controller_process import SEEDLING, Controller, controller
from tests.engine.round_trace import assert_one_trace
from zeroloop.core import figures
from zeroloop.core.rounds import Episode, RoundState, Stage
from zeroloop.core.runs import Phase
from zeroloop.core.tasks import Kind, Role
from zeroloop.weights_folder import verify

pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

RUN = "second"
SETTINGS = {
    "samples_per_group": 4,
    "rollouts": 4,
    "seed_batch_factor": 2,
    "response_tokens_max": 256,
    "learning_rate": 1e-4,
    "deterministic": True,
}
"""The paper's prompts and rules with the sizes of a test. The model knows its answers by heart,
and none has a hundred tokens."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, made once per machine: that takes a minute."""
    cache = Path(os.environ.get("ZEROLOOP_CACHE") or Path.home() / ".cache" / "zeroloop")
    return build_bpe_model(tmp_path_factory.mktemp("model") / "bpe", cache_dir=cache / "models")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Controller]:
    """A controller that has played one round on the model."""
    async with controller(tmp_path_factory.mktemp("played")) as here:
        run = await here.play(RUN, 1, SETTINGS, model=model, preset="paper")
        assert run.status.phase is Phase.COMPLETED, here.events(RUN)[-3:]
        yield here


async def episodes_of(played: Controller, stage: Stage) -> list[Episode]:
    async with played.buffer(RUN) as buffer:
        records = [record async for record in buffer.rounds.get_stage(RUN, 1, stage)]
    return [record for record in records if isinstance(record, Episode)]


async def test_the_round_is_committed_trained_and_served(played: Controller) -> None:
    async with played.buffer(RUN) as buffer:
        known = await buffer.rounds.get(RUN, 1)
        newest = (await buffer.weights.list(RUN)).weights[0]

    assert known.state is RoundState.TRAINED
    assert known.metrics[figures.SEQUENCES] == 6 * SETTINGS["samples_per_group"]
    assert known.metrics[figures.ADMITTED] > 0
    assert newest.version == 1
    verify(Path(newest.uri.removeprefix("file://")), newest.manifest_digest)
    assert (await played.client.get_run(RUN)).status.weights_version == 1


async def test_trainer_and_engine_agree_on_the_same_tokens(played: Controller) -> None:
    async with played.buffer(RUN) as buffer:
        known = await buffer.rounds.get(RUN, 1)
    (roll,) = [event for event in played.events(RUN) if event["type"] == "weights"]

    assert known.metrics[figures.MISMATCH_MAX] <= 1e-3
    assert 0 <= roll["figures"][figures.PARITY] <= 1e-3


async def test_stored_tokens_are_those_of_the_models_tokenizer(
    played: Controller, model: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    for stage, role in ((Stage.PROPOSE, Role.PROPOSER), (Stage.SOLVE, Role.SOLVER)):
        episodes = await episodes_of(played, stage)
        assert {episode.kind for episode in episodes} == set(Kind)
        for episode in episodes:
            assert episode.role is role
            decoded = tokenizer.decode(episode.token_ids, skip_special_tokens=True)
            assert decoded == episode.text
            assert len(episode.token_ids) < len(episode.text), "more than a character per token"
            prompt = tokenizer.decode(episode.prompt_token_ids)
            assert tokenizer.encode(prompt) == list(episode.prompt_token_ids)
            assert prompt.rstrip().endswith("<think>")


async def test_prompts_are_longer_than_the_seedling_can_read(played: Controller) -> None:
    context = json.loads((SEEDLING / "config.json").read_text())["max_position_embeddings"]
    prompts = [episode.prompt_token_ids for episode in await episodes_of(played, Stage.PROPOSE)]

    assert max(len(prompt) for prompt in prompts) > context


async def test_the_round_is_one_trace_through_all_processes(played: Controller) -> None:
    async with played.buffer(RUN) as buffer:
        known = await buffer.rounds.get(RUN, 1)
    await assert_one_trace(played, RUN, known)
