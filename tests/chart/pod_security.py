"""Kubernetes' Pod Security Standards, as far as fields of a Linux pod go.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Iterator, Mapping
from typing import Any

Spec = Mapping[str, Any]

BASELINE_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
RESTRICTED_CAPABILITIES = {"NET_BIND_SERVICE"}
RESTRICTED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}
SAFE_SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range"),
    *("net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies"),
    *("net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout"),
    *("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"),
    *("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t"}
SECCOMP_TYPES = {"RuntimeDefault", "Localhost"}


def baseline(spec: Spec) -> list[str]:
    """What keeps a pod out of a namespace that enforces `baseline`."""
    return [*_baseline_pod(spec), *(p for c in _containers(spec) for p in _baseline_container(c))]


def restricted(spec: Spec) -> list[str]:
    """What keeps a pod out of a namespace that enforces `restricted`."""
    pod = spec.get("securityContext") or {}
    volumes = [
        f"volume {volume['name']} is a {kind}"
        for volume in spec.get("volumes", [])
        for kind in volume.keys() - {"name"} - RESTRICTED_VOLUMES
    ]
    return [
        *baseline(spec),
        *volumes,
        *_zero_user("pod", pod),
        *(p for c in _containers(spec) for p in _restricted_container(c, pod)),
    ]


def _containers(spec: Spec) -> Iterator[Spec]:
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or []


def _baseline_pod(spec: Spec) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is set"
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is a hostPath"
    context = spec.get("securityContext") or {}
    for sysctl in context.get("sysctls", []):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl['name']} is not safe"
    yield from _baseline_context("pod", context)


def _baseline_container(container: Spec) -> Iterator[str]:
    name = container["name"]
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        yield f"{name} is privileged"
    added = set((context.get("capabilities") or {}).get("add") or [])
    for capability in sorted(added - BASELINE_CAPABILITIES):
        yield f"{name} has capability {capability}"
    if context.get("procMount", "Default") != "Default":
        yield f"{name} has procMount {context['procMount']}"
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            yield f"{name} has hostPort {port['hostPort']}"
    for handler in _handlers(container):
        for action in ("httpGet", "tcpSocket"):
            if (handler.get(action) or {}).get("host"):
                yield f"{name} has a probe or hook of another host"
    yield from _baseline_context(name, context)


def _baseline_context(name: str, context: Spec) -> Iterator[str]:
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{name} is a host process"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield f"{name} has no seccomp filter"
    if (context.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield f"{name} has no AppArmor profile"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{name} has SELinux options {dict(selinux)}"


def _handlers(container: Spec) -> Iterator[Spec]:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        yield container.get(probe) or {}
    for hook in ("postStart", "preStop"):
        yield (container.get("lifecycle") or {}).get(hook) or {}


def _restricted_container(container: Spec, pod: Spec) -> Iterator[str]:
    name = container["name"]
    context = container.get("securityContext") or {}
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may gain privileges"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{name} may run as root"
    profile = context.get("seccompProfile") or pod.get("seccompProfile") or {}
    if profile.get("type") not in SECCOMP_TYPES:
        yield f"{name} has no seccomp filter"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"{name} keeps capabilities"
    for capability in sorted(set(capabilities.get("add") or []) - RESTRICTED_CAPABILITIES):
        yield f"{name} has capability {capability}"
    yield from _zero_user(name, context)


def _zero_user(name: str, context: Spec) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield f"{name} runs as user 0"
