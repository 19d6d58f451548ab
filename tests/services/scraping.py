"""Scraping real processes, as Prometheus does."""

import re
import socket
import time
import urllib.error
import urllib.request


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def scrape(port: int) -> str:
    """What a process answers; nothing if it does not listen."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return ""


def scrape_until(port: int, series: str, *, limit_s: float = 10.0) -> str:
    """What a process answers once it has a series: a call is counted after its caller has all."""
    give_up_at_s = time.monotonic() + limit_s
    while series not in (text := scrape(port)):
        assert time.monotonic() < give_up_at_s, text
        time.sleep(0.05)
    return text


def families(text: str) -> dict[str, str]:
    """Kinds of metrics by name."""
    return dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))


def ours(found: dict[str, str]) -> dict[str, str]:
    """The platform's own among them."""
    return {name: kind for name, kind in found.items() if name.startswith(("zeroloop_", "rpc_"))}


def value(text: str, series: str) -> float:
    """The value of one series, written as the endpoint writes it."""
    (found,) = re.findall(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found)
