"""How the trainer starts and ends: settings, exit codes, the model's folder."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.trainer.samples import batch
from trainer import launch
from trainer.config import TrainerSettings, load_trainer_settings
from trainer.exits import ExitCode, ReplayMismatchError, exit_code_of, explain
from trainer.launch import code_of, torchrun_arguments
from trainer.model_folder import companions, resolve_model
from trainer.publisher import choose_probe
from zeroloop.errors import (
    AuthError,
    ConfigError,
    CorruptDataError,
    FailedPreconditionError,
    UnavailableError,
)
from zeroloop.weights_folder import building, seal

REQUIRED = ["--run=r", "--model=m", "--buffer=b:1", "--weights-dir=w", "--checkpoint-dir=c"]


def settings(*arguments: str, **environ: str) -> TrainerSettings:
    return load_trainer_settings([*REQUIRED, *arguments], environ)


def test_defaults_are_those_of_the_algorithm() -> None:
    found = settings()

    assert (found.clip, found.entropy_coef, found.gradient_clip) == (0.2, 0.001, 1.0)
    assert (found.learning_rate, found.weight_decay) == (1e-6, 0.01)
    assert (found.adam_beta1, found.adam_beta2) == (0.9, 0.999)
    assert found.max_staleness == 0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        pytest.param("--clip=1.5", "clip .*less than or equal to 1.*1.5", id="clip"),
        pytest.param("--zero-stage=1", "zero_stage .*greater than or equal to 2", id="stage"),
        pytest.param(
            "--learning-rate=0", "learning_rate .*greater than or equal to 0.0", id="rate"
        ),
        pytest.param("--micro-batch-tokens=1", "micro_batch_tokens .*16", id="tokens"),
    ],
)
def test_a_value_out_of_range_is_named(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(argument)


def test_an_unknown_variable_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"ZEROLOOP_TRAINER__CLIPP.*did you mean.*CLIP"):
        settings(ZEROLOOP_TRAINER__CLIPP="0.1")


def test_an_unknown_flag_ends_with_64() -> None:
    with pytest.raises(SystemExit) as end:
        settings("--clipp=0.1")

    assert end.value.code == ExitCode.CONFIG


def test_print_config_prints_what_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        settings("--clip=0.3", "--print-config")

    assert not end.value.code
    assert json.loads(capsys.readouterr().out)["clip"] == 0.3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(ConfigError("x"), 64, id="config"),
        pytest.param(CorruptDataError("x"), 64, id="data"),
        pytest.param(ReplayMismatchError("x"), 64, id="replay"),
        pytest.param(AuthError("x"), 64, id="token"),
        pytest.param(UnavailableError("x"), 75, id="connection"),
        pytest.param(FailedPreconditionError("x"), 75, id="state"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), 75, id="disk full"),
        pytest.param(RuntimeError("[gloo] Connection closed by peer [::1]"), 75, id="lost rank"),
        pytest.param(ZeroDivisionError("x"), None, id="bug"),
    ],
)
def test_exit_codes(error: Exception, code: int | None) -> None:
    assert exit_code_of(error) == code


def test_a_full_disk_is_explained_with_the_remedy() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "weights/3")

    assert "no space left to write weights/3" in explain(error)
    assert "zeroloop prune" in explain(error)


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0

    assert "Traceback" in explain(caught.value)


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        pytest.param([64], 64, id="one"),
        pytest.param([75, 64], 64, id="a rank that lost its peers is not the cause"),
        pytest.param([75, 75], 75, id="all lost"),
        pytest.param([143, 143], 143, id="stopped"),
        pytest.param([-9], 137, id="killed"),
        pytest.param([-15], 143, id="stopped before there was anything to save"),
        pytest.param([], 1, id="unknown"),
    ],
)
def test_the_launcher_ends_with_the_code_of_the_cause(codes: list[int], code: int) -> None:
    assert code_of(codes) == code


def test_the_launcher_leaves_sigterm_to_the_ranks() -> None:
    arguments = torchrun_arguments(settings("--ranks=2"), ["--run=r"])

    assert "--nproc-per-node=2" in arguments
    assert "--signals-to-handle=SIGQUIT" in arguments
    assert arguments[-2:] == ["trainer", "--run=r"]


def test_a_missing_model_ends_the_launcher_at_once_with_64(tmp_path: Path) -> None:
    arguments = [*REQUIRED, f"--model={tmp_path / 'none'}"]

    ended = subprocess.run(
        [sys.executable, "-m", "trainer.launch", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )

    assert ended.returncode == 64
    assert f"model folder {tmp_path / 'none'} does not exist" in ended.stderr
    assert "Traceback" not in ended.stderr


def model_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "merges.txt", "README.md"):
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "has no config.json"), ("model.safetensors", "has no weights")],
)
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, missing: str, message: str) -> None:
    (model_folder(tmp_path) / missing).unlink()

    with pytest.raises(ConfigError, match=message):
        resolve_model(str(tmp_path))


def test_a_damaged_model_is_refused_by_its_manifest(tmp_path: Path) -> None:
    with building(tmp_path / "m") as folder:
        model_folder(folder)
        seal(folder, version=0, parent=None, dtype="float32")
    (tmp_path / "m" / "model.safetensors").write_text("[]")

    with pytest.raises(CorruptDataError, match=r"model\.safetensors has SHA-256"):
        resolve_model(str(tmp_path / "m"))


def test_the_tokenizer_goes_with_every_version(tmp_path: Path) -> None:
    names = [path.name for path in companions(model_folder(tmp_path))]

    assert names == ["merges.txt", "tokenizer.json"]


def test_the_probe_is_spread_over_the_batch() -> None:
    sequences = batch(40)

    assert [s.index for s in choose_probe(sequences, limit=4)] == [0, 10, 20, 30]
    assert len(choose_probe(sequences[:2], limit=4)) == 2
    assert choose_probe([], limit=4) == []
    assert choose_probe(sequences, limit=0) == []


def test_the_launcher_waits_for_the_name_of_the_first_node_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def getaddrinfo(name: str, _port: None) -> list[object]:
        asked.append(name)
        if len(asked) < 3:
            raise OSError(-2, "Name or service not known")
        return []

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    monkeypatch.setattr(launch, "MASTER_POLL_S", 0.001)
    launch.wait_for_master({"PET_MASTER_ADDR": "r-train-0-0.r-train", "PET_NNODES": "2"})
    assert asked == ["r-train-0-0.r-train"] * 3

    asked.clear()
    launch.wait_for_master({"PET_MASTER_ADDR": "a", "PET_NNODES": "1"})
    launch.wait_for_master({})
    assert asked == [], "one node needs nobody's name"

    monkeypatch.setattr(launch, "MASTER_S", -1)
    with pytest.raises(UnavailableError, match="PET_MASTER_ADDR: b has no address"):
        launch.wait_for_master({"PET_MASTER_ADDR": "b", "PET_NNODES": "2"})
