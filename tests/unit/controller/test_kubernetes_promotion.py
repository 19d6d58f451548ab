"""Promoted weights and the InferenceServices that serve them; an API server in memory."""

from pathlib import Path
from typing import Any, cast

import pytest

from services.controller.platforms.kubernetes.api import INFERENCE_SERVICES, Api, UnknownKindError
from services.controller.platforms.kubernetes.promotion import StorageUris
from tests.unit.controller.fake_api import FakeApi
from zeroloop.core.batches import Weights
from zeroloop.errors import FailedPreconditionError, NotFoundError

FOLDER = Path("/var/lib/zeroloop/runs")
MODEL: dict[str, Any] = {"modelFormat": {"name": "huggingface"}, "storageUri": "hf://org/base"}


def api(predictor: dict[str, Any]) -> FakeApi:
    fake = FakeApi()
    body = {"metadata": {"name": "coder"}, "spec": {"predictor": predictor}}
    fake.put(INFERENCE_SERVICES, body, "ADDED", "create")
    return fake


def hand_over(fake: FakeApi, *allowed: str) -> StorageUris:
    return StorageUris(
        cast("Api", fake), allowed=allowed, runs_folder=FOLDER, runs_claim="zeroloop-runs"
    )


def weights(uri: str = f"{FOLDER}/r/weights/7") -> Weights:
    return Weights(run="r", version=7, uri=uri, manifest_digest="d")


async def test_a_version_of_the_volume_is_a_path_in_its_claim_and_nothing_else_changes() -> None:
    fake = api({"minReplicas": 2, "model": MODEL})
    uri = await hand_over(fake, "coder")("coder", weights())
    assert uri == "pvc://zeroloop-runs/r/weights/7"
    served = (await fake.get(INFERENCE_SERVICES, "coder"))["spec"]["predictor"]
    assert served == {"minReplicas": 2, "model": {**MODEL, "storageUri": uri}}


@pytest.mark.parametrize("uri", ["s3://bucket/lab/r-12345678/7", "gs://bucket/r/7"])
async def test_a_version_of_a_bucket_has_its_own_url(uri: str) -> None:
    assert await hand_over(api({"model": MODEL}), "coder")("coder", weights(uri)) == uri


async def test_once_more_changes_nothing() -> None:
    fake = api({"model": MODEL})
    promote = hand_over(fake, "coder")
    await promote("coder", weights())
    before = len(fake.writes)
    await promote("coder", weights())
    assert len(fake.writes) == before


async def test_only_what_the_installation_names_is_changed() -> None:
    fake = api({"model": MODEL})
    for allowed, words in ((("judge",), "allows judge"), ((), "allows none")):
        with pytest.raises(FailedPreconditionError, match=f"'coder' may not be changed.*{words}"):
            await hand_over(fake, *allowed)("coder", weights())
    served = await fake.get(INFERENCE_SERVICES, "coder")
    assert served["spec"]["predictor"]["model"] == MODEL


async def test_what_is_not_there_is_named() -> None:
    with pytest.raises(NotFoundError, match="no InferenceService 'judge' in namespace test"):
        await hand_over(api({"model": MODEL}), "judge")("judge", weights())


async def test_one_without_a_model_of_kserves_is_refused() -> None:
    with pytest.raises(FailedPreconditionError, match=r"'coder' has no spec\.predictor\.model"):
        await hand_over(api({"containers": [{}]}), "coder")("coder", weights())


async def test_a_base_model_of_the_image_is_out_of_kserves_reach() -> None:
    with pytest.raises(FailedPreconditionError, match="v7 lie in /app/models/seedling"):
        await hand_over(api({"model": MODEL}), "coder")("coder", weights("/app/models/seedling"))


async def test_without_kserve_the_error_says_so() -> None:
    class Bare(FakeApi):
        async def get(self, kind: Any, name: str) -> Any:
            raise UnknownKindError(name)

    with pytest.raises(FailedPreconditionError, match="KServe is not installed"):
        await hand_over(Bare(), "coder")("coder", weights())
