"""The project's own Kubernetes: one real node, as processes of this machine.

  python -m tests.cluster up              build what is missing, start it, leave it running
  python -m tests.cluster run COMMAND ... run a command with KUBECONFIG and the programs on PATH
  python -m tests.cluster image ROOT NAME [COMMAND ...]
                                          pack a folder as an image and give it to the node
  python -m tests.cluster images          build the platform's images and give them to the node;
                                          `images --build-only` needs no cluster
  python -m tests.cluster install         the same, and the chart with them, in the namespace
                                          `zeroloop`; again, it upgrades
  python -m tests.cluster status          whether it runs, where, and how much memory it takes
  python -m tests.cluster down            stop it; safe at any time, and twice
  python -m tests.cluster build           only build what a cluster needs; `build all`: what
                                          all of its tests need, `build NAME ...`: only that
  python -m tests.cluster check           whether this machine can do all that; says what is missing

`make cluster` and `make cluster-down` are `up` and `down`. Needs root; says what else is missing.
Programs are cached below $ZEROLOOP_CACHE (~/.cache/zeroloop). docs/how-to/cluster.md says more.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster import builder, host, image, images, installation, processes, start, stop
from tests.cluster.cluster import Cluster, of_folder
from tests.cluster.errors import ClusterError
from tests.cluster.folder import Folder
from tests.cluster.programs import build, catalog


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    options = _parser().parse_args(arguments)
    cache = Path(os.environ.get("ZEROLOOP_CACHE") or Path.home() / ".cache" / "zeroloop")
    folder = Folder((options.folder or cache / "cluster" / "default").absolute())
    try:
        return options.do(options, folder, cache)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def _up(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    cluster = start.start(folder, cache, with_parent=False, report=_say)
    print(f"""
The cluster is up and stays up. Its logs: {folder.logs}
  export KUBECONFIG={cluster.kubeconfig}
  export PATH={cluster.programs["kubectl"].parent}:{cluster.programs["helm"].parent}:$PATH
Stop it with: {_stop_command(options)}""")
    return 0


def _run(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    if not options.command:
        raise ClusterError("run what? For instance: python -m tests.cluster run kubectl get nodes")
    cluster = _running(folder)
    folders = dict.fromkeys(str(path.parent) for path in cluster.programs.values())
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": ":".join([*folders, os.environ.get("PATH", os.defpath)]),
    }
    return subprocess.run(
        # Its own PATH, to find `kubectl` in the folders above.
        ["env", *options.command],
        env=environment,
        check=False,
    ).returncode


def _image(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    cluster = _running(folder)
    archive = folder.path / "tmp" / f"image-{os.getpid()}.tar"
    try:
        image.pack(options.root, options.name, archive, options.command)
        cluster.import_image(archive)
    finally:
        archive.unlink(missing_ok=True)
    return 0


def _images(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    cluster = None if options.build_only else _running(folder)
    archives = images.ensure(cache, _say)
    if cluster is None:
        return 0
    for name in images.give(cluster, archives).values():
        _say(f"the node has {name}")
    values = folder.path / "images.yaml"
    # JSON is YAML.
    values.write_text(json.dumps(images.chart_values(archives), indent=2) + "\n")
    print(f"""
Have the chart use them: --values {values}
Pods of the engine's image mount this checkout; tests/cluster/checkout.py says how.""")
    return 0


def _install(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    cluster = _running(folder)
    images.ensure(cache, _say)
    place = folder.path / "release"
    place.mkdir(exist_ok=True)
    made = installation.prepare(cluster, cache, place, "zeroloop")
    notes = made.put(upgrade=installation.RELEASE in made.helm("list", "--short"))
    print(notes)
    print(f"A model that its pods know: {installation.MODEL}")
    return 0


def _status(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    cluster = _running(folder)
    pids = processes.of_cluster(stop.node_pid(folder))
    memory_mib = processes.memory_bytes(pids) / 2**20
    print(f"running in {folder.path}, API server {cluster.network.api_url}")
    print(f"{len(pids)} processes, {memory_mib:.0f} MiB of memory")
    return 0


def _down(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    began_s = time.monotonic()
    was_running = stop.running(folder)
    stop.stop(folder)
    took = f"stopped in {time.monotonic() - began_s:.1f} s"
    print(f"cluster: {took if was_running else 'there was none'}")
    return 0


def _build(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    known = {program.name: program for program in catalog.ALL}
    names = list(known) if options.name == ["all"] else options.name
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ClusterError(f"no program {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = [known[name] for name in names] or catalog.CLUSTER
    places = build.build(wanted, cache, _say)
    for path in places.values() if options.name else ():
        print(path)
    return 0


def _check(options: argparse.Namespace, folder: Folder, cache: Path) -> int:
    host.check()
    builder.check_host()
    if missing := build.missing(catalog.CLUSTER, cache):
        _say(f"to be built first: {', '.join(missing)}")
    return 0


def _running(folder: Folder) -> Cluster:
    if not stop.running(folder):
        raise ClusterError(f"none runs in {folder.path}; start it: make cluster")
    return of_folder(folder)


def _stop_command(options: argparse.Namespace) -> str:
    if options.folder is None:
        return "make cluster-down"
    return f"python -m tests.cluster --folder {options.folder} down"


def _say(line: str) -> None:
    print(f"cluster: {line}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--folder", type=Path, help="where it lives; another folder is another cluster"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    plain = {"up": _up, "install": _install, "status": _status, "down": _down, "check": _check}
    for name, do in plain.items():
        commands.add_parser(name).set_defaults(do=do)
    run = commands.add_parser("run")
    run.add_argument("command", nargs=argparse.REMAINDER)
    run.set_defaults(do=_run)
    pack = commands.add_parser("image")
    pack.add_argument("root", type=Path, help="what containers see as /")
    pack.add_argument("name", help="with a tag other than latest, such as localhost/mine:1")
    pack.add_argument("command", nargs=argparse.REMAINDER, help="what a container runs")
    pack.set_defaults(do=_image)
    platform = commands.add_parser("images")
    platform.add_argument("--build-only", action="store_true", help="give them to no node")
    platform.set_defaults(do=_images)
    make = commands.add_parser("build")
    make.add_argument("name", nargs="*", help="a program; without, all that a cluster needs")
    make.set_defaults(do=_build)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
