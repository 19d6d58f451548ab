"""What a failed call is for its caller."""

from typing import Any

import grpc
import grpc.aio
import pytest

from zeroloop.errors import InternalError, UnavailableError, ZeroloopError
from zeroloop.status import error_of

CUT_OFF = "Internal error from Core"


@pytest.mark.parametrize(
    ("words", "kind"), [(CUT_OFF, UnavailableError), ("unexpected error", InternalError)]
)
def test_a_connection_cut_while_sending_is_no_defect_of_the_service(
    words: str, kind: type[ZeroloopError]
) -> None:
    assert type(error_of(grpc.StatusCode.INTERNAL, words)) is kind


async def test_grpc_says_it_in_these_words() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        call: Any = channel.stream_unary("/any.Service/Any")()
        call._cython_call.set_internal_error("sending failed")  # as its `write` does
        assert (await call.code(), await call.details()) == (grpc.StatusCode.INTERNAL, CUT_OFF)
