"""Wiring: the runs of a namespace, played by whichever controller leads."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from services._server.cluster import own_namespace
from services._server.transport import access
from services.controller import metrics
from services.controller.book import RunBook
from services.controller.config import ControllerSettings
from services.controller.platforms.base import RunPlatform
from services.controller.platforms.kubernetes import api as cluster
from services.controller.platforms.kubernetes.api import Api
from services.controller.platforms.kubernetes.backends import BACKENDS
from services.controller.platforms.kubernetes.leader import Leadership
from services.controller.platforms.kubernetes.mirror import Mirror
from services.controller.platforms.kubernetes.objects import owner
from services.controller.platforms.kubernetes.platform import KubernetesPlatform, Surroundings
from services.controller.platforms.kubernetes.promotion import StorageUris
from services.controller.platforms.kubernetes.store import ObjectStore
from services.controller.platforms.kubernetes.templates import read_templates
from services.controller.platforms.kubernetes.training_backends import TRAINING_BACKENDS
from services.controller.platforms.kubernetes.workloads import Belonging
from services.controller.preparing import Prepared
from services.controller.promoting import HandOver
from services.controller.run_spans import RunSpans
from services.controller.runs import Runs
from services.controller.store import RunStore
from zeroloop.client.channel import Access
from zeroloop.errors import ConfigError, UnavailableError

logger = logging.getLogger(__name__)

LEADER = "zeroloop.dev/leader"
RETRY_S = 1.0


@asynccontextmanager
async def runs_of_namespace(
    settings: ControllerSettings, spans: RunSpans
) -> AsyncGenerator[tuple[Runs, Access, HandOver]]:
    """The runs of one namespace, the access to their services, and where promoted weights go.

    They are played from the moment that this controller leads. If it does not lead any more
    the block is left with `LostError`: nothing may go on in its name.
    """
    _require(settings)
    namespace = settings.namespace or own_namespace()
    kubeconfig = str(settings.kubeconfig or "")
    async with cluster.connect(namespace, kubeconfig) as api:
        around = _surroundings(settings, api, spans)
        store = ObjectStore(api, RunStore(settings.runs_folder))
        runs = Runs(
            store,
            _maker(around, store),
            lambda: datetime.now(UTC),
            active_max=settings.runs_active_max,
            tick_s=settings.tick_s,
            one_machine=False,
        )
        mirror = Mirror(api, store, runs.reconcile)
        leadership = Leadership(api, settings.lease, settings.pod_name or "controller")
        async with asyncio.TaskGroup() as group:
            working = [
                group.create_task(mirror.run(), name="mirror"),
                group.create_task(store.tell_events(), name="events"),
                group.create_task(
                    _lead(leadership, mirror, runs, api, settings.pod_name), name="lead"
                ),
            ]
            try:
                yield runs, around.access, _promotion(settings, api)
            finally:
                await runs.close()
                await store.close()
                for task in working:
                    task.cancel()
                await leadership.release()


def _require(settings: ControllerSettings) -> None:
    needed = ("token_file", "pod_templates", "buffer_target", "reward_target", "execution_target")
    missing = [name for name in needed if not getattr(settings, name)]
    if missing:
        raise ConfigError(f"{', '.join(missing)}: required where platform is kubernetes")


def _surroundings(settings: ControllerSettings, api: Api, spans: RunSpans) -> Surroundings:
    assert settings.token_file is not None
    assert settings.pod_templates is not None
    return Surroundings(
        api=api,
        templates=read_templates(settings.pod_templates),
        backend=BACKENDS[settings.inference_backend],
        training=TRAINING_BACKENDS[settings.training_backend],
        labels=settings.labels,
        buffer=settings.buffer_target,
        reward=settings.reward_target,
        execution=settings.execution_target,
        access=access(settings),
        to_execution=access(settings, settings.execution_token_file),
        token_file=settings.token_file,
        spans=spans,
        weights_store=settings.weights_store,
        gang_patience=timedelta(seconds=settings.gang_patience_s),
    )


def _promotion(settings: ControllerSettings, api: Api) -> StorageUris:
    return StorageUris(
        api,
        allowed=settings.promote_to,
        runs_folder=settings.runs_folder,
        runs_claim=settings.runs_claim,
    )


def _maker(around: Surroundings, store: ObjectStore):  # noqa: ANN202
    def make(book: RunBook, prepared: Prepared) -> RunPlatform:
        item = store.object(book.run.name)
        belonging = Belonging(
            run=book.run.name,
            owner=owner(item),
            labels=around.labels,
            traceparent=book.traceparent,
        )
        return KubernetesPlatform(book, prepared, around, belonging)

    return make


async def _lead(leadership: Leadership, mirror: Mirror, runs: Runs, api: Api, pod: str) -> None:
    """Wait for the lease, play, and keep it."""
    metrics.leads(leading=False)
    await _label(api, pod, None)
    await mirror.filled.wait()
    await leadership.acquire()
    metrics.leads(leading=True)
    runs.lead()
    keeping = asyncio.create_task(leadership.keep())
    try:
        await _label(api, pod, "true")
        await keeping
    finally:
        keeping.cancel()


async def _label(api: Api, pod: str, value: str | None) -> None:
    """Make this pod the one that the Service names, or not."""
    while pod:
        try:
            body = {"metadata": {"labels": {LEADER: value}}}
            await api.merge(cluster.PODS, pod, body)
        except UnavailableError as error:
            logger.warning("pod_not_labelled", extra={"error": str(error)})
            await asyncio.sleep(RETRY_S)
        else:
            return
