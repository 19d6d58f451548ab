"""The real trainer: launcher, torchrun, DeepSpeed and gloo, against a plain torch reference.

The buffer's wire is real, its database is a dictionary. Every start costs seconds of
imports, so each test makes the most of one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.engine.models import logprobs, tiny_llama
from tests.unit.trainer.samples import batch
from tests.unit.trainer.served_store import TOKEN, ServedStore, serve
from trainer.store import MemoryStore
from zeroloop.core.batches import BatchSequence, Weights
from zeroloop.weights_folder import verify

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = 90
LEARNING_RATE, ADAM_EPS = 1e-3, 1e-4
"""An epsilon that hides no rounding: with 1e-8 Adam's first step is the gradient's sign."""


@dataclass
class Bench:
    """A run's folder, the served store and the trainers started on them."""

    folder: Path
    served: ServedStore
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def store(self) -> MemoryStore:
        return self.served.store

    def start(self, *flags: str) -> subprocess.Popen[str]:
        arguments = [
            "--run=r",
            f"--model={self.folder / 'model'}",
            f"--buffer={self.served.target}",
            f"--token-file={self.folder / 'token'}",
            f"--weights-dir={self.folder / 'weights'}",
            f"--checkpoint-dir={self.folder / 'checkpoints'}",
            f"--ready-file={self.folder / 'ready'}",
            f"--learning-rate={LEARNING_RATE}",
            f"--adam-eps={ADAM_EPS}",
            "--micro-batch-tokens=300",
            "--threads=1",
            "--device=cpu",
            *flags,
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer.launch", *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *flags: str, code: int = 0) -> str:
        """Start a trainer, wait for its end and return what it said."""
        process = self.start(*flags)
        _, said = process.communicate(timeout=240)
        assert process.returncode == code, said
        return said

    def wait_ready(self, process: subprocess.Popen[str]) -> None:
        while not (self.folder / "ready").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)

    def weights(self, version: int) -> dict[str, torch.Tensor]:
        folder = self.folder / "weights" / str(version)
        verify(folder, self.store.weights[version].manifest_digest)
        return AutoModelForCausalLM.from_pretrained(folder).state_dict()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    tiny_llama(tmp_path / "model")
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    rounds = {index: batch(10, seed=index, vocabulary=VOCABULARY) for index in (1, 2, 3)}
    with serve(MemoryStore("r", rounds)) as served:
        bench = Bench(tmp_path, served)
        yield bench
        for process in bench.started:
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # ended by itself meanwhile
                    child.kill()
            process.wait()


def reference(folder: Path, batches: Sequence[Sequence[BatchSequence]]) -> Any:
    """What the batches make of the model, sequence by sequence, in plain torch."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, eps=ADAM_EPS, weight_decay=0.01
    )
    norms: list[float] = []
    for sequences in batches:
        optimizer.zero_grad()
        for one in sequences:
            tokens = [*one.prompt_token_ids, *one.token_ids]
            start = len(one.prompt_token_ids)
            logprobs_TV = torch.log_softmax(model(torch.tensor([tokens])).logits[0], -1)
            chosen_N = logprobs_TV[range(start - 1, len(tokens) - 1), tokens[start:]]
            entropy_N = -(logprobs_TV.exp() * logprobs_TV).sum(-1)[start - 1 : -1]
            objective = (one.advantage * chosen_N + 0.001 * entropy_N).sum()
            (-one.token_weight * objective).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
    return model, norms


@pytest.mark.parametrize(
    ("stage", "ranks"), [(2, 1), (3, 1), (2, 2), (3, 2)], ids=lambda value: str(value)
)
def test_steps_equal_plain_adamw(bench: Bench, stage: int, ranks: int) -> None:
    bench.run(f"--zero-stage={stage}", f"--ranks={ranks}", "--last-round=2")

    model, norms = reference(bench.folder / "model", [bench.store.batches[i] for i in (1, 2)])

    assert bench.store.acks == [1, 2]
    for name, tensor in bench.weights(2).items():
        torch.testing.assert_close(
            tensor, model.state_dict()[name], rtol=0, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert [bench.store.metrics[i]["grad_norm"] for i in (1, 2)] == pytest.approx(norms, rel=1e-4)
    assert max(norms) > 1, "the gradient must be clipped for this to prove clipping"
    assert bench.store.metrics[1]["clip_fraction"] == 0
    probe = verify(bench.folder / "weights" / "2").probe
    assert probe
    for sequence in probe:
        expected = logprobs(model, list(sequence.token_ids), sequence.prompt_tokens)
        assert sequence.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("stage", [2, 3])
def test_a_killed_trainer_goes_on_bit_for_bit(bench: Bench, stage: int) -> None:
    """A later start trains the missing rounds again and gives the digests that are registered."""
    flags = (f"--zero-stage={stage}", "--telemetry-dir", str(bench.folder / "telemetry"))
    bench.run(*flags, "--last-round=3")
    undisturbed = {v: w.manifest_digest for v, w in bench.store.weights.items()}
    assert sorted(p.name for p in (bench.folder / "checkpoints").iterdir()) == ["2", "3"]

    # As if it had been killed before the checkpoint and the acknowledgement of round 3.
    shutil.rmtree(bench.folder / "checkpoints" / "3")
    del bench.store.metrics[3]
    bench.run(*flags, "--last-round=3")

    assert {v: w.manifest_digest for v, w in bench.store.weights.items()} == undisturbed
    assert bench.store.acks == [1, 2, 3, 3]
    spans = [
        json.loads(line)
        for line in (bench.folder / "telemetry" / "spans-trainer.jsonl").read_text().splitlines()
    ]
    trained = [s["attributes"] for s in spans if s["name"] == "zeroloop.train"]
    assert [s["zeroloop.round.index"] for s in trained] == [1, 2, 3, 3, 3]
    assert [s["zeroloop.train.replay"] for s in trained] == [False, False, False, True, False]
    assert any(s["name"] == "zeroloop.weights.publish" for s in spans)


def test_a_segment_ends_with_its_checkpoint_and_the_next_one_goes_on_from_it(
    bench: Bench,
) -> None:
    for last in (1, 2):
        bench.run(f"--last-round={last}", "--checkpoint-every-rounds=10")
        assert bench.store.acks == list(range(1, last + 1))
        assert (bench.folder / "checkpoints" / str(last)).is_dir()

    model, _ = reference(bench.folder / "model", [bench.store.batches[i] for i in (1, 2)])
    for name, tensor in bench.weights(2).items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=0, atol=2e-6)


def test_a_replay_that_differs_ends_with_64(bench: Bench) -> None:
    """The registry says one thing, the batch gives another; nothing is overwritten."""
    other = Weights(run="r", version=1, uri="/none", manifest_digest="0" * 64)
    bench.store.weights[1] = other

    said = bench.run("--last-round=1", code=64)

    assert "the replay is not deterministic" in said
    assert "Traceback" not in said
    assert bench.store.weights[1] == other


@pytest.mark.parametrize("ranks", [1, 2])
def test_waiting_costs_nothing_and_sigterm_ends_with_143(bench: Bench, ranks: int) -> None:
    del bench.store.batches[2], bench.store.batches[3]
    trainer = bench.start(f"--ranks={ranks}", "--checkpoint-every-rounds=5", "--poll-s=2")
    bench.wait_ready(trainer)
    while 1 not in bench.store.metrics:
        time.sleep(0.05)
    before, started = processor_s(trainer.pid), time.monotonic()
    time.sleep(5)
    used = (processor_s(trainer.pid) - before) / (time.monotonic() - started)

    os.kill(trainer.pid, signal.SIGTERM)
    asked = time.monotonic()
    _, said = trainer.communicate(timeout=60)

    assert trainer.returncode == 143, said
    assert time.monotonic() - asked < 25, "torchrun kills after 30 s who does not end by himself"
    assert used < 0.05, f"{used:.1%} of a core while waiting"
    assert [p.name for p in (bench.folder / "checkpoints").iterdir()] == ["1"]


def processor_s(pid: int) -> float:
    """Processor time of a process and all below it, seconds."""
    root = psutil.Process(pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(t.user + t.system for t in times)
