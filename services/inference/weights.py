"""Changing the weights of a running engine: verify, close the gate, reload, prove, open.

    unknown --stage--> staged --apply--> served --apply of another--> previous --rollback--> served

A change is all or nothing. While the gate is closed no call runs, so no completion mixes
two versions and no cached prefix outlives its weights. If the new version does not load,
or its log-probabilities are not the trainer's, the old one is loaded again; if even that
fails the engine is given up and started anew from the old version.
"""

import asyncio
import logging
import math
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from services.inference.engine.base import Engine
from services.inference.gate import Gate
from services.inference.keeper import EngineKeeper, Served
from services.inference.weights_cache import WeightsCache
from zeroloop.core.generation import AppliedWeights, WeightsState
from zeroloop.core.manifest import ProbeSequence
from zeroloop.errors import (
    CorruptDataError,
    FailedPreconditionError,
    NotFoundError,
    invalid,
)
from zeroloop.weights_folder import VerifiedVersion, verify
from zeroloop.weights_store import is_url, local_folder

logger = logging.getLogger(__name__)

T = TypeVar("T")

CheckFit: TypeAlias = Callable[[str, Path], None]
"""Raises CorruptDataError unless weights in a folder fit the model served from another."""

STAGED_MAX = 2
"""Staged versions that are remembered; the oldest is forgotten first. Copies of them, of the one
served and of the one before stay on this machine's disk."""

NO_PROBE = -1.0
"""Parity of a version that carries no probe."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Staged:
    version: VerifiedVersion
    fingerprint: tuple[tuple[str, int, int], ...]
    """Name, size and time of change of each file when it was verified."""


class WeightsRoll:
    """Stages, applies and takes back versions of the weights."""

    def __init__(
        self,
        keeper: EngineKeeper,
        gate: Gate,
        *,
        cache: WeightsCache,
        parity_max: float,
        check_fit: CheckFit,
        may_sleep: bool = False,
    ) -> None:
        self._cache = cache
        self._check_fit = check_fit
        self._may_sleep = may_sleep
        self._keeper = keeper
        self._gate = gate
        self._parity_max = parity_max
        self._staged: dict[int, _Staged] = {}
        self._previous: Served | None = None
        self._changing = asyncio.Lock()
        self._staging = asyncio.Lock()

    def state(self) -> WeightsState:
        """What is served and what could be."""
        return WeightsState(
            weights_version=self._keeper.served.version,
            staged_versions=tuple(sorted(self._staged)),
            previous_version=None if self._previous is None else self._previous.version,
            asleep=self._keeper.asleep,
        )

    async def stage(self, version: int, uri: str, manifest_digest: str) -> int:
        """Verify a version's files against its manifest; return the bytes read.

        What lies in a bucket is copied here first. A caller that gave up waiting for that may
        ask again: the copy goes on meanwhile.

        Raises:
            InvalidRequestError: A value is out of range.
            NotFoundError: The folder, the object or its manifest is missing.
            CorruptDataError: A file differs from the manifest, or its tensors are not those
                of the model; names it.
            FailedPreconditionError: The store refuses access.
            UnavailableError: There is no engine that could take it, or the store does not answer.
        """
        self._keeper.loaded()
        if version < 0:
            raise invalid("weights_version", f"must be at least 0, got {version}")
        if not _DIGEST.fullmatch(manifest_digest):
            raise invalid(
                "manifest_digest", f"must be 64 lower-case hex digits, got {manifest_digest!r}"
            )
        async with self._staging:
            # Whatever is applied meanwhile is among these.
            in_use = self._folders()
            staged = await asyncio.to_thread(
                _verified, self._cache, version, uri, manifest_digest, in_use
            )
            folder = staged.version.folder
            await asyncio.to_thread(self._check_fit, self._keeper.served.folder, folder)
            self._staged.pop(version, None)
            self._staged[version] = staged
            while len(self._staged) > STAGED_MAX:
                del self._staged[next(iter(self._staged))]
            return staged.version.size_bytes

    async def apply(self, version: int, parity_max: float = 0.0) -> AppliedWeights:
        """Serve a staged version. The served one is served already: a no-op.

        Raises:
            FailedPreconditionError: It is not staged, or parity is over the limit.
            CorruptDataError: Its files changed since they were staged.
            UnavailableError: The engine died; it comes back with what it served before.
        """
        # Written so that NaN fails.
        if not parity_max >= 0.0:
            raise invalid("parity_max", f"must be at least 0, got {parity_max}")
        async with self._changing:
            self._keeper.engine()
            staged = self._staged.get(version)
            served = self._keeper.served
            if version == served.version and (
                staged is None or staged.version.digest in (served.digest, "")
            ):
                return AppliedWeights(weights_version=version, parity=NO_PROBE, paused_s=0.0)
            if staged is None:
                raise FailedPreconditionError(
                    f"weights version {version} is not staged (staged are "
                    f"{sorted(self._staged)}); call Stage first"
                )
            if await asyncio.to_thread(_fingerprint, staged.version.folder) != staged.fingerprint:
                del self._staged[version]
                raise CorruptDataError(
                    f"files in {staged.version.folder} changed after they were staged; stage "
                    f"version {version} again"
                )
            target = Served(version, str(staged.version.folder), staged.version.digest)
            applied = await self._change(target, staged.version.probe, parity_max)
            self._previous = served
            return applied

    async def rollback(self) -> int:
        """Serve the version from before the last `apply`.

        Raises:
            FailedPreconditionError: There is none.
        """
        async with self._changing:
            if self._previous is None:
                raise FailedPreconditionError(
                    "there is no version to go back to: none was applied since the last rollback"
                )
            target = self._previous
            probe: Sequence[ProbeSequence] = ()
            if target.digest:
                folder = Path(target.folder)
                probe = (await asyncio.to_thread(verify, folder, target.digest)).probe
            await self._change(target, probe, 0.0)
            self._previous = None
            return target.version

    async def sleep(self) -> float:
        """Let go of the device; return the seconds that it took, running calls included.

        Raises:
            FailedPreconditionError: The service was not started for that.
            UnavailableError: There is no engine.
        """
        if not self._may_sleep:
            raise FailedPreconditionError(
                "this engine may not sleep; start the service with --sleep-mode"
            )
        return await self._turn(asleep=True)

    async def wake(self) -> float:
        """Take the device again; return the seconds that it took.

        Raises:
            UnavailableError: There is no engine.
        """
        return await self._turn(asleep=False)

    async def _turn(self, *, asleep: bool) -> float:
        loop = asyncio.get_running_loop()
        called_at_s = loop.time()
        async with self._changing:
            engine = self._keeper.loaded()
            if self._keeper.asleep is not asleep:
                async with self._gate.closed():
                    await _to_the_end(self._put(engine, asleep=asleep))
        duration_s = loop.time() - called_at_s
        logger.info("engine_turned", extra={"asleep": asleep, "duration_s": duration_s})
        return duration_s

    async def _put(self, engine: Engine, *, asleep: bool) -> None:
        """To sleep, or awake. An engine that does neither is of no use."""
        try:
            await (engine.sleep() if asleep else engine.wake())
        except Exception as error:
            self._keeper.give_up(engine, f"it did not {'sleep' if asleep else 'wake'}: {error}")
            raise
        self._keeper.asleep = asleep

    def _folders(self) -> set[str]:
        """Those of all versions that may be loaded."""
        loaded = {self._keeper.served.folder}
        if self._previous is not None:
            loaded.add(self._previous.folder)
        return loaded | {str(staged.version.folder) for staged in self._staged.values()}

    async def _change(
        self, target: Served, probe: Sequence[ProbeSequence], parity_max: float
    ) -> AppliedWeights:
        loop = asyncio.get_running_loop()
        async with self._gate.closed():
            closed_at_s = loop.time()
            # A caller that hangs up must not leave the engine between two versions.
            parity = await _to_the_end(self._load(target, probe, parity_max or self._parity_max))
            paused_s = loop.time() - closed_at_s
        logger.info(
            "weights_applied",
            extra={"weights_version": target.version, "parity": parity, "paused_s": paused_s},
        )
        return AppliedWeights(weights_version=target.version, parity=parity, paused_s=paused_s)

    async def _load(
        self, target: Served, probe: Sequence[ProbeSequence], parity_max: float
    ) -> float:
        """Load and prove `target`; on any failure leave what was served before in place."""
        engine = self._keeper.engine()
        try:
            await engine.load_weights(target.folder, target.version)
            parity = await _parity(engine, probe)
            # Written so that NaN fails.
            if not parity <= parity_max:
                raise FailedPreconditionError(
                    f"log-probabilities of weights version {target.version} differ from the "
                    f"trainer's by {parity:.3g} nats on its probe, the limit is {parity_max:.3g}; "
                    f"version {self._keeper.served.version} stays in service"
                )
        except BaseException as error:
            logger.warning(
                "weights_refused", extra={"weights_version": target.version, "why": str(error)}
            )
            await self._restore(engine)
            raise
        self._keeper.served = target
        return parity

    async def _restore(self, engine: Engine) -> None:
        served = self._keeper.served
        try:
            await engine.load_weights(served.folder, served.version)
        except Exception as error:  # noqa: BLE001  whatever it is, this engine is of no use
            self._keeper.give_up(
                engine, f"weights version {served.version} did not load again: {error}"
            )


async def _parity(engine: Engine, probe: Sequence[ProbeSequence]) -> float:
    """Largest difference of a log-probability between the engine and the trainer, nats."""
    largest = NO_PROBE
    for sequence in probe:
        scored = await engine.score(sequence.token_ids, sequence.prompt_tokens)
        for ours, theirs in zip(scored, sequence.logprobs, strict=True):
            if math.isnan(ours):
                return math.nan
            largest = max(largest, abs(ours - theirs))
    return largest


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; if the caller is cancelled meanwhile, finish it before passing that on."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _verified(
    cache: WeightsCache, version: int, uri: str, manifest_digest: str, in_use: set[str]
) -> _Staged:
    # Taken before the files are read, where others may write to them.
    fingerprint = None if is_url(uri) else _fingerprint(local_folder(uri))
    verified = cache.fetch(uri, manifest_digest, in_use)
    if verified.manifest.version != version:
        raise CorruptDataError(
            f"{uri} holds version {verified.manifest.version} by its manifest, the caller "
            f"says {version}; publish the version again"
        )
    return _Staged(verified, fingerprint or _fingerprint(verified.folder))


def _fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    if not folder.is_dir():
        raise NotFoundError(f"weights folder {folder} does not exist; publish the version first")
    stats = ((path.name, path.stat()) for path in sorted(folder.iterdir()))
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
