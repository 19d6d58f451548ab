"""One rank of the trainer: wiring, and ending in order."""

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from services._server import exposition, telemetry
from trainer.checkpoints import Checkpoints, Identity
from trainer.config import SERVICE, TrainerSettings
from trainer.exits import ExitCode
from trainer.gloo_group import GlooGroup
from trainer.group import Group, SoloGroup
from trainer.grpc_store import GrpcStore
from trainer.learner import Learner, prepare_process, without_compilers
from trainer.loop import Schedule, Trainer
from trainer.model_folder import companions, resolve_model
from trainer.publisher import Origin, Publisher
from trainer.stopping import StopRequest
from zeroloop.client.channel import Access
from zeroloop.client.tls import Tls
from zeroloop.client.token import TokenFile, load_token
from zeroloop.weights_store import open_store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where torchrun has put this process."""

    rank: int
    ranks: int
    local_rank: int
    ranks_here: int


def train(settings: TrainerSettings, place: Place, *, otlp: bool) -> ExitCode:
    """Run one rank until it is done or asked to stop.

    Raises whatever ends it otherwise; `trainer.exits` says what that means.
    """
    leader = place.rank == 0
    # One rank of each node: a pod whose port is closed would look like one that is down.
    port = settings.metrics_port if place.local_rank == 0 else None
    telemetry.configure(
        SERVICE,
        folder=settings.telemetry_dir if leader else None,
        otlp=otlp and leader,
        log_level=settings.log_level,
        readers=[] if port is None else [exposition.make_reader()],
    )
    if port is not None:
        exposition.serve(settings.metrics_host, port)
    folder = resolve_model(settings.model)
    device = prepare_process(settings, local_rank=place.local_rank, ranks_here=place.ranks_here)
    stop = StopRequest()
    with process_group(settings, device, place) as group:
        learner = Learner(settings, folder, group, device)
        with _store(settings, stop, leader=leader) as store:
            trainer = _trainer(settings, folder, learner, group, store, stop)
            stop.on_signals()
            return trainer.run()


def _trainer(
    settings: TrainerSettings,
    folder: Path,
    learner: Learner,
    group: Group,
    store: GrpcStore | None,
    stop: StopRequest,
) -> Trainer:
    dtype = str(learner.dtype).removeprefix("torch.")
    identity = Identity(
        run=settings.run,
        base_model=settings.model,
        zero_stage=settings.zero_stage,
        ranks=group.ranks,
        dtype=dtype,
    )
    origin = Origin(
        run=settings.run,
        base_model=settings.model,
        dtype=dtype,
        companions=companions(folder),
    )
    return Trainer(
        learner,
        group,
        Checkpoints(settings.checkpoint_dir, identity, group, keep=settings.checkpoints_keep),
        Publisher(
            open_store(settings.weights_dir, scratch=settings.weights_scratch),
            origin,
            group,
            store,
            probe_sequences=settings.probe_sequences,
        ),
        store,
        schedule=Schedule(
            checkpoint_every_rounds=settings.checkpoint_every_rounds,
            last_round=settings.last_round,
            poll_s=settings.poll_s,
        ),
        stop=stop,
        ready=lambda round_index: _announce(settings, round_index, leader=group.rank == 0),
    )


@contextmanager
def process_group(
    settings: TrainerSettings, device: torch.device, place: Place
) -> Generator[Group]:
    """Join the other ranks; DeepSpeed needs a process group even for one."""
    import deepspeed

    without_compilers()
    timeout = timedelta(seconds=settings.peers_s)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timeout)
    deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)
    yield SoloGroup() if place.ranks == 1 else GlooGroup(timeout_s=settings.peers_s)
    # Only after a good end: a lost rank would let it hang.
    dist.destroy_process_group()


def _access(settings: TrainerSettings) -> Access:
    token = TokenFile(settings.token_file) if settings.token_file else load_token()
    if settings.tls_ca_file is None:
        return Access(token)
    return Access(token, Tls(settings.tls_ca_file, settings.tls_cert_file, settings.tls_key_file))


@contextmanager
def _store(
    settings: TrainerSettings, stop: StopRequest, *, leader: bool
) -> Generator[GrpcStore | None]:
    if not leader:
        yield None
        return
    store = GrpcStore(
        settings.run,
        settings.buffer,
        _access(settings),
        stop=stop,
        lease_s=settings.lease_s,
        unavailable_s=settings.unavailable_s,
    )
    try:
        yield store
    finally:
        store.close()


def _announce(settings: TrainerSettings, round_index: int, *, leader: bool) -> None:
    if not leader:
        return
    logger.info("trainer_ready", extra={"round": round_index})
    if settings.ready_file is not None:
        draft = settings.ready_file.with_name(f".{settings.ready_file.name}.{os.getpid()}")
        draft.write_text(f"{round_index}\n", "utf-8")
        draft.replace(settings.ready_file)
