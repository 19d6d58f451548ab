"""Who calls, and whether they may: asked of the Kubernetes API.

A caller presents the token of a ServiceAccount (or of whoever else the cluster knows), made for
the platform's audience. TokenReview says whose it is, SubjectAccessReview whether they have the
right that the method needs, so that access is plain RBAC.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from services._server.permissions import GROUP, Permission, permission_of
from zeroloop.errors import AuthError, ForbiddenError

ADMITTED_S: Final = 60.0
"""How long a good answer is believed. So long may somebody go on whose rights were taken."""

REFUSED_S: Final = 5.0
"""How long a bad one is: rights that were just given should work soon."""

ANSWERS_MAX: Final = 4096
"""Answers that are remembered; the oldest is forgotten first."""

WHO: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
MAY: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Reviewer(Protocol):
    """Asks the Kubernetes API."""

    async def review(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a review; return its `status`.

        Raises:
            UnavailableError: There is no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    until_s: float
    refusal: AuthError | None


class ClusterReviews:
    """Admits whom the cluster knows and lets."""

    def __init__(self, reviewer: Reviewer, *, audience: str, namespace: str) -> None:
        """Rights are looked for in `namespace`; tokens must be made for `audience`."""
        self._reviewer = reviewer
        self._audience = audience
        self._namespace = namespace
        self._answers: dict[tuple[bytes, Permission | None], _Answer] = {}
        self._asking: dict[tuple[bytes, Permission | None], asyncio.Future[_Answer]] = {}

    async def admit(self, token: str, method: str) -> None:
        """See `services._server.auth.Authenticator`."""
        if not token:
            raise AuthError(
                "no token: present one of a ServiceAccount, made for the audience "
                f"{self._audience!r}, as `authorization: Bearer …`"
            )
        permission = permission_of(method)
        # The token itself is not kept.
        key = (hashlib.sha256(token.encode()).digest(), permission)
        answer = self._answers.get(key)
        if answer is None or answer.until_s <= time.monotonic():
            answer = await self._ask_once(key, token)
        if answer.refusal is not None:
            raise type(answer.refusal)(*answer.refusal.args)

    async def _ask_once(self, key: tuple[bytes, Permission | None], token: str) -> _Answer:
        """Ask; whoever wants to know the same meanwhile waits for the same answer."""
        if key not in self._asking:
            asking = asyncio.ensure_future(self._ask(token, key[1]))
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(self._asking[key])

    def _answered(
        self, key: tuple[bytes, Permission | None], done: asyncio.Future[_Answer]
    ) -> None:
        del self._asking[key]
        if done.cancelled() or done.exception() is not None:
            return
        self._answers.pop(key, None)
        self._answers[key] = done.result()
        if len(self._answers) > ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]

    async def _ask(self, token: str, permission: Permission | None) -> _Answer:
        refusal: AuthError | None = None
        try:
            user = await self._who(token)
            if permission is not None:
                await self._may(user, permission)
        except AuthError as error:
            refusal = error
        lasts_s = ADMITTED_S if refusal is None else REFUSED_S
        return _Answer(time.monotonic() + lasts_s, refusal)

    async def _who(self, token: str) -> Mapping[str, Any]:
        spec = {"token": token, "audiences": [self._audience]}
        status = await self._reviewer.review(WHO, {"spec": spec})
        if not status.get("authenticated") or self._audience not in status.get("audiences", ()):
            why = status.get("error") or "it is not one of this cluster, or has expired"
            raise AuthError(f"the token does not hold for the audience {self._audience!r}: {why}")
        return status["user"]

    async def _may(self, user: Mapping[str, Any], permission: Permission) -> None:
        attributes = {
            "namespace": self._namespace,
            "verb": permission.verb,
            "group": GROUP,
            "resource": permission.resource,
            "subresource": permission.subresource,
        }
        spec = {
            "user": user["username"],
            "uid": user.get("uid", ""),
            "groups": user.get("groups", []),
            "extra": user.get("extra", {}),
            "resourceAttributes": attributes,
        }
        status = await self._reviewer.review(MAY, {"spec": spec})
        if not status.get("allowed"):
            raise ForbiddenError(
                f"{user['username']} may not {permission} in namespace {self._namespace}; "
                "a Role must allow it (see docs/kubernetes.md)"
            )
