"""What a pod must be before programs run in it."""

import pytest

from services.execution.isolation import launch, pod, shut_in
from services.execution.settings import ExecutionSettings
from zeroloop.errors import ConfigError

GVISOR_LOG = "<6>[   0.000000] Starting gVisor...\n<6>[   0.3] Digging up root...\n"
GVISOR_PROC = f"Linux version 4.19.0-gvisor {pod.GVISOR_KERNEL}\n"
LINUX = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.148-1"
LINUX_PROC = f"Linux version 6.1.0-38-amd64 (debian-kernel@lists.debian.org) {LINUX}\n"


def test_gvisors_kernel_is_told_by_its_name_and_its_log() -> None:
    pod.check_kernel(pod.GVISOR_KERNEL, GVISOR_PROC, GVISOR_LOG)


@pytest.mark.parametrize(
    ("version", "proc_version", "log"),
    [
        pytest.param(LINUX, LINUX_PROC, "", id="linux whose log is closed"),
        pytest.param(LINUX, LINUX_PROC, "<5>[ 0.0] Linux version 6.1.0\n", id="linux, open"),
        pytest.param(
            LINUX, LINUX_PROC, "<5>[ 0.0] Linux\n<4>[ 9.0] Starting gVisor...\n", id="said later"
        ),
        pytest.param(pod.GVISOR_KERNEL, GVISOR_PROC, "", id="no log"),
        pytest.param(pod.GVISOR_KERNEL, LINUX_PROC, GVISOR_LOG, id="two minds"),
        pytest.param(LINUX, GVISOR_PROC, GVISOR_LOG, id="another name"),
    ],
)
def test_any_other_kernel_is_refused_with_the_remedy(
    version: str, proc_version: str, log: str
) -> None:
    with pytest.raises(ConfigError, match=r"not gVisor's.*runtimeClassName: gvisor.*runsc"):
        pod.check_kernel(version, proc_version, log)


@pytest.mark.parametrize(
    ("uid", "effective", "missing"),
    [
        pytest.param(0, 0b0100_0000, "lacks CAP_SETUID;", id="one right"),
        pytest.param(0, 0, "lacks CAP_SETGID and CAP_SETUID;", id="both"),
        pytest.param(7, 0, r"lacks user 0 \(this is user 7\), CAP_SETGID and CAP", id="all"),
    ],
)
def test_missing_rights_are_listed(uid: int, effective: int, missing: str) -> None:
    status = f"Name:\tpython\nCapPrm:\t00000000a80425fb\nCapEff:\t{effective:016x}\n"

    with pytest.raises(ConfigError, match=missing):
        pod.check_rights(uid, status)


def test_two_rights_are_enough() -> None:
    pod.check_rights(0, "CapEff:\t00000000000000c0\nCapBnd:\t00000000000000c0\n")


def test_no_user_inside_is_the_services_or_another_sandboxs() -> None:
    lines = [line.split() for line in shut_in.id_map(1_000_000).splitlines()]
    inside = {int(first) + n for first, _, size in lines for n in range(int(size))}
    outside = [int(first) + n for _, first, size in lines for n in range(int(size))]

    workers_max = ExecutionSettings.model_json_schema()["properties"]["workers"]["maximum"]
    assert inside == {0, *(launch.WORKER_UID - slot for slot in range(3 * workers_max))}
    assert len(set(outside)) == len(outside) == shut_in.IDS_EACH
    assert set(outside) == set(range(1_000_000, 1_000_000 + shut_in.IDS_EACH))
