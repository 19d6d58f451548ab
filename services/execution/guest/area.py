"""The memory that a worker of mode `reset` shares with its supervisor: a batch and its answers.

The layout is that of `driver.c`. The worker says in it how far it has come; what is not in it, a
worker cannot say.
"""

ORDERS_MAX = 32
AREA_BYTES = 8 << 20
ORDERS_AT, ORDER_BYTES = 64, 32
ANSWERS_AT, ANSWER_BYTES = ORDERS_AT + ORDER_BYTES * ORDERS_MAX, 40
DATA_AT = 4096
ANSWER_OVERHEAD_BYTES = 8 << 10


def number(data: bytes, start: int, size: int = 8) -> int:
    return int.from_bytes(data[start : start + size], "little")


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


class Order:
    """A program, its input, and room for the answer."""

    def __init__(
        self, source: bytes, arguments: bytes, stdout_bytes: int, value_bytes: int
    ) -> None:
        self.source = source
        self.arguments = arguments
        self.stdout_bytes = stdout_bytes
        self.value_bytes = value_bytes
        self.answer_max = stdout_bytes + value_bytes + ANSWER_OVERHEAD_BYTES

    def size(self) -> int:
        return len(self.source) + len(self.arguments) + self.answer_max


class Canary:
    """A program of known answer: another one says that the worker cannot be trusted."""

    source = b"""def f(a, s):
    d = {x: str(x) for x in a}
    return sorted(a), len(s), sum(a), min(s), d, s.upper().split(), 7 / 2, max(a) ** 9, '%5.1f' % 2
"""
    arguments = b"(([3, 1, 2], 'a b'), {})"
    value = b"([1, 2, 3], 3, 6, ' ', {3: '3', 1: '1', 2: '2'}, ['A', 'B'], 3.5, 19683, '  2.0')"
    answer = b"o\0" + field(b"tuple") + field(b"") + field(value) + field(b"")

    @classmethod
    def order(cls) -> Order:
        return Order(cls.source, cls.arguments, 0, 512)


ROOM_BYTES = AREA_BYTES - DATA_AT - Canary.order().size()


def pack(orders: list[Order]) -> bytes:
    """The beginning of an area: the orders, and nothing done yet. Answers follow what is here."""
    data = b"".join([order.source + order.arguments for order in orders])
    source_at = DATA_AT
    records: list[bytes] = []
    for order in orders:
        limits = (order.stdout_bytes, order.value_bytes, order.answer_max)
        words = (source_at, len(order.source), len(order.arguments), *limits, 0, 0)
        records.append(b"".join([word.to_bytes(4, "little") for word in words]))
        source_at += len(order.source) + len(order.arguments)
    words = (len(orders), 0, 0, source_at)
    head = b"".join([word.to_bytes(8, "little") for word in words]).ljust(ORDERS_AT, b"\0")
    return (head + b"".join(records)).ljust(DATA_AT, b"\0") + data
