"""One question to a DNS server, to see whether it answers."""

import socket
import struct
from ipaddress import IPv4Address

ANSWER_S = 1.0
PORT = 53
_RECURSION_DESIRED = 0x0100
_RESPONSE_CODE = 0x000F
_TYPE_A = _CLASS_INTERNET = 1


def resolves(server: IPv4Address, name: str) -> bool:
    """Whether that server knows an address of a name; not if it is silent for a second."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + struct.pack(">xHH", _TYPE_A, _CLASS_INTERNET)
    header = struct.pack(">HHHHHH", 1, _RECURSION_DESIRED, 1, 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ANSWER_S)
        try:
            client.connect((str(server), PORT))
            client.send(header + question)
            reply = client.recv(512)
        except OSError:
            return False
    _, flags, _, answers, *_ = struct.unpack_from(">HHHHHH", reply)
    return flags & _RESPONSE_CODE == 0 and answers > 0
