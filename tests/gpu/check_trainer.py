"""One optimiser step on a GPU with ZeRO-2 and ZeRO-3; stands alone, needs no service.

    python tests/gpu/check_trainer.py [--dtype bfloat16] [--stages 2,3]

A random Llama takes two steps over one batch through the trainer's own learner. The loss and
the gradient's norm must agree with plain torch in 32 bits, the log-probability of what was
good must rise, a checkpoint must restore bit for bit, and the written folder must load.
Prints one JSON object per stage and ends with 1 if anything is off.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}
"""Largest relative difference of loss gradient norm from the reference."""


def main() -> int:
    """Check each stage in a process of its own; DeepSpeed allows one engine per process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dtype", default="bfloat16", choices=sorted(TOLERANCE))
    parser.add_argument("--stages", default="2,3")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--stage", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        return check(options)
    failed = 0
    for stage in options.stages.split(","):
        command = [sys.executable, __file__, *sys.argv[1:], f"--stage={stage}"]
        failed |= subprocess.run(command, check=False).returncode
    return failed


def check(options: argparse.Namespace) -> int:
    """Run one stage and print what was measured."""
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    os.environ.update(
        RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29671"
    )
    from trainer.config import RUNTIME_ENVIRONMENT, load_trainer_settings

    for name, value in RUNTIME_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_trainer_settings(
            [
                "--run=gpu",
                f"--model={folder / 'model'}",
                "--buffer=none:1",
                f"--weights-dir={folder / 'weights'}",
                f"--checkpoint-dir={folder / 'checkpoints'}",
                f"--zero-stage={options.stage}",
                f"--device={options.device}",
                f"--dtype={options.dtype}",
                "--learning-rate=1e-3",
                "--micro-batch-tokens=2048",
                "--gradient-checkpointing",
                "--deterministic",
            ],
            {},
        )
        found = measure(settings, folder, options.hidden)
    tolerance = TOLERANCE[options.dtype]
    problems = [
        name
        for name, bad in {
            "grad_norm": abs(found["grad_norm"] / found["reference_norm"] - 1) > tolerance,
            "loss": abs(found["loss"] - found["reference_loss"]) > tolerance,
            "climbs": found["climb"] <= 0,
            "checkpoint": not found["restored_exactly"],
            "export": not found["export_loads"],
        }.items()
        if bad
    ]
    print(json.dumps({"stage": options.stage, "dtype": options.dtype, **found, "bad": problems}))
    return 1 if problems else 0


def measure(settings: Any, folder: Path, hidden: int) -> dict[str, Any]:
    """Take the steps; everything that `check` judges."""
    import torch
    from transformers import AutoModelForCausalLM

    from tests.unit.trainer.samples import batch
    from trainer.learner import Learner, prepare_process
    from trainer.worker import Place, process_group

    write_model(folder / "model", hidden)
    device = prepare_process(settings, local_rank=0, ranks_here=1)
    sequences = batch(64, vocabulary=1000, lengths=(20, 200))
    (folder / "saved").mkdir()
    (folder / "written").mkdir()
    with process_group(settings, device, Place(0, 1, 0, 1)) as group:
        loss, norm = reference(folder / "model", sequences, settings, device)
        learner = Learner(settings, folder / "model", group, device)
        before = gain(learner, sequences)
        first = learner.step(sequences, cancelled=lambda: False)
        learner.save(folder / "saved")
        started = time.monotonic()
        second = learner.step(sequences, cancelled=lambda: False)
        step_s = time.monotonic() - started
        after = gain(learner, sequences)
        learner.write_weights(folder / "written")
        learner.load(folder / "saved")
        learner.step(sequences, cancelled=lambda: False)
        assert first is not None
        assert second is not None
        exported = AutoModelForCausalLM.from_pretrained(folder / "written")
        return {
            "loss": first.sums.loss,
            "reference_loss": loss,
            "grad_norm": first.grad_norm,
            "reference_norm": norm,
            "climb": after - before,
            "restored_exactly": gain(learner, sequences) == after,
            "export_loads": sum(p.numel() for p in exported.parameters()) > 0,
            "step_s": step_s,
            "device": str(torch.cuda.get_device_name() if device.type == "cuda" else "cpu"),
        }


def write_model(folder: Path, hidden: int) -> None:
    """A random Llama in 32 bits."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def reference(folder: Path, sequences: Any, settings: Any, device: Any) -> tuple[float, float]:
    """Loss and gradient norm of the batch in plain torch, 32 bits, one sequence at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
    total = 0.0
    for one in sequences:
        tokens = [*one.prompt_token_ids, *one.token_ids]
        start = len(one.prompt_token_ids)
        logits_TV = model(torch.tensor([tokens], device=device)).logits[0]
        logprobs_TV = torch.log_softmax(logits_TV, -1)[start - 1 : -1]
        targets = torch.tensor(tokens[start:], device=device)
        chosen_N = logprobs_TV.gather(-1, targets[:, None])[:, 0]
        entropy_N = -(logprobs_TV.exp() * logprobs_TV).sum(-1)
        ratio_N = torch.exp(chosen_N - chosen_N.detach())
        objective = one.advantage * ratio_N + settings.entropy_coef * entropy_N
        loss = -(one.token_weight * objective).sum()
        loss.backward()
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9).item()
    return total, norm


def gain(learner: Any, sequences: Any) -> float:
    """Weighted log-probability of the batch, times advantage: what training raises."""
    return sum(
        one.advantage * one.token_weight * sum(found)
        for one, found in zip(sequences, learner.logprobs(sequences), strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())
