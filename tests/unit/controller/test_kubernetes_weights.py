"""What the pods of a run are told of where its weights lie; an API server in memory."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from services.controller.book import RunBook
from services.controller.options import settings_of
from services.controller.platforms.kubernetes.api import Api
from services.controller.platforms.kubernetes.backends import BACKENDS
from services.controller.platforms.kubernetes.platform import KubernetesPlatform, Surroundings
from services.controller.platforms.kubernetes.templates import PodTemplates
from services.controller.platforms.kubernetes.training_backends import TRAINING_BACKENDS
from services.controller.preparing import Prepared
from services.controller.run_spans import RunSpans
from services.controller.store import RunStore, StoredRun
from tests.unit.controller.fake_api import FakeApi
from tests.unit.controller.test_kubernetes_objects import TEMPLATE, belonging
from zeroloop.client.channel import Access
from zeroloop.core.runs import Run, RunSpec, RunStatus
from zeroloop.errors import FailedPreconditionError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SPEC = RunSpec(model="m", preset="seedling", rounds=3, seed=7, settings={})
STORE = "s3://bucket/lab"


def platform(api: FakeApi, folder: Path, store: str) -> KubernetesPlatform:
    files = RunStore(folder)
    run = Run(name="r", spec=SPEC, status=RunStatus(), created_at=NOW)
    shown = Access("token")
    around = Surroundings(
        api=cast("Api", api),
        templates=PodTemplates(TEMPLATE, TEMPLATE),
        backend=BACKENDS["deployment"],
        training=TRAINING_BACKENDS["job"],
        labels={},
        buffer="dns:///buffer:1",
        reward="dns:///reward:1",
        execution="dns:///execution:1",
        access=shown,
        to_execution=shown,
        token_file=folder / "token",
        weights_store=store,
        gang_patience=timedelta(minutes=10),
        spans=cast("RunSpans", None),
    )
    book = RunBook(files, StoredRun(run, "request"), lambda: NOW)
    return KubernetesPlatform(book, Prepared(settings_of(SPEC), "m", []), around, belonging())


def told(api: FakeApi, plural: str) -> dict[str, str]:
    """The flags of the pods of the only object of a kind."""
    (found,) = [item for (kind, _), item in api.objects.items() if kind == plural]
    flags: list[Any] = found["spec"]["template"]["spec"]["containers"][0]["args"]
    return dict(itertools.pairwise(flags))


@pytest.mark.parametrize("store", ["", STORE])
async def test_engine_and_trainer_are_told_the_same_place(tmp_path: Path, store: str) -> None:
    api = FakeApi()
    made = platform(api, tmp_path, store)
    made._make_folders()
    await made._engines.ensure()
    await made._trainer.ensure(0)

    uid = str(belonging().owner["uid"])
    place = f"{STORE}/r-{uid[:8]}" if store else f"{tmp_path}/r/weights"
    assert told(api, "deployments")["--weights-pointer"] == f"{place}/SERVED.json"
    assert told(api, "jobs")["--weights-dir"] == place
    assert told(api, "jobs")["--checkpoint-dir"] == f"{tmp_path}/r/checkpoints"


def test_a_run_that_began_elsewhere_is_not_started(tmp_path: Path) -> None:
    platform(FakeApi(), tmp_path, "")._make_folders()

    platform(FakeApi(), tmp_path, "")._make_folders()
    with pytest.raises(FailedPreconditionError, match=r"set weights\.store back"):
        platform(FakeApi(), tmp_path, STORE)._make_folders()
