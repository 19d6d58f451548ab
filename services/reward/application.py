"""Wiring: from settings to a servicer that can work."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import grpc.aio

from services._server import Health, telemetry
from services._server.transport import access
from services.reward.domains.registry import DOMAINS
from services.reward.runs import RetryPolicy
from services.reward.servicer import RewardServicer
from services.reward.settings import RewardSettings
from zeroloop.client.execution import ExecutionClient
from zeroloop.reward.v1 import reward_pb2_grpc

SERVICE = "zeroloop.reward.v1.RewardService"


@asynccontextmanager
async def application(
    settings: RewardSettings, server: grpc.aio.Server, health: Health
) -> AsyncGenerator[None]:
    """Serve rewards on `server` until the block ends.

    The Execution service need not be up: what cannot be run is reported as not executed.
    """
    towards = access(settings, settings.execution_token_file)
    interceptors = telemetry.client_interceptors()
    async with towards.channel(settings.execution_target, interceptors) as channel:
        servicer = RewardServicer(DOMAINS, ExecutionClient(channel), _policy(settings))
        reward_pb2_grpc.add_RewardServiceServicer_to_server(servicer, server)
        await health.serving(SERVICE)
        yield


def _policy(settings: RewardSettings) -> RetryPolicy:
    return RetryPolicy(
        calls_max=settings.execution_calls_max,
        attempts_max=settings.execution_attempts_max,
        backoff_s=settings.execution_backoff_s,
    )
