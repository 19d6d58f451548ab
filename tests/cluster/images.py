"""The platform's images for the cluster, built from its Dockerfile without a registry of images.

mmdebstrap makes the base from Debian's packages, buildah builds on it. Whatever decides what an
image is (lines of the Dockerfile, locks, sources) decides its tag and the name of its archive: an
archive that is there is up to date, and pods of a chart are replaced exactly if their image is
another. Layers are kept, so a changed source costs seconds.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import builder, dockerfile
from tests.cluster.builder import Store
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.programs.build import locked

ROOT = Path(__file__).resolve().parents[2]
ATTEMPTS_MAX = 5
"""For an image whose sources someone edits meanwhile; all but the first take seconds."""

ARCHIVES_KEPT = 2
"""Of each image, the ones used last: another checkout may be about to read one of them."""

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
INDEX_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
"""Handed to builds if they are set; no image and no file of ours has them."""

POSTGRESQL_DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS postgresql
# initdb refuses to run as someone without a name. The first is who runs it in the official image.
RUN useradd --user-group --uid 999 --home-dir /var/lib/postgresql postgres \\
 && useradd --user-group --uid 65532 --no-create-home zeroloop
# Without a first cluster, a key that every container would share, and a compiler of queries.
RUN apt-get update -q \\
 && apt-get install -qy --no-install-recommends postgresql-common \\
 && sed -i 's/^#\\?create_main_cluster.*/create_main_cluster = false/' \\
      /etc/postgresql-common/createcluster.conf \\
 && apt-get install -qy --no-install-recommends postgresql-15 \\
 && rm -rf /var/lib/apt/lists/* /etc/ssl/private/* /usr/lib/llvm-* \\
      /usr/lib/*/libLLVM* /usr/lib/*/libz3* /usr/lib/postgresql/*/lib/bitcode \\
      /usr/lib/postgresql/*/lib/llvmjit*
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
USER 999:999
CMD ["postgres", "--version"]
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image."""

    target: str
    dockerfile: Path | str
    """A file of the repository, or the text of one that copies nothing."""

    def text(self) -> str:
        return self.dockerfile if isinstance(self.dockerfile, str) else self.dockerfile.read_text()

    def digest(self) -> str:
        """Changes when the image would."""
        state = hashlib.sha256(builder.base_digest().encode())
        for stage in dockerfile.needed(dockerfile.parse(self.text()), self.target):
            state.update("\n".join(stage.instructions).encode())
            for source in stage.copies:
                for path in _files(ROOT / source):
                    content = path.read_bytes()
                    head = f"{path.relative_to(ROOT)} {path.stat().st_mode:o} {len(content)}\n"
                    state.update(head.encode() + content)
        return state.hexdigest()[:12]

    def tag(self) -> str:
        # Not the bare digest: one without letters would be a number in YAML.
        return f"sha-{self.digest()}"


RECIPES: Mapping[str, Recipe] = {
    # Controller, buffer, reward and execution, with all they need.
    "services": Recipe("services", ROOT / "deploy/Dockerfile"),
    # What runs inference and trainer from a checkout that is mounted: its environment is several
    # gigabytes, which no test should copy into a node.
    "engine-runtime": Recipe("checkout", ROOT / "deploy/Dockerfile"),
    "postgresql": Recipe("postgresql", POSTGRESQL_DOCKERFILE),
}


def ensure(cache: Path, report: Callable[[str], None] = print) -> dict[str, Path]:
    """Build what is missing; return each image's archive, as `Cluster.import_image` takes it.

    The first time takes minutes, then seconds; next to nothing if nothing has changed.

    Args:
        cache: $ZEROLOOP_CACHE.
        report: Told before and after each build.

    Raises:
        ClusterError: A program is missing, or a build failed; carries its last words.
    """
    folder = _folder(cache)
    with locked(folder / ".lock"):
        archives = _archives(folder)
        if todo := [name for name, path in archives.items() if not path.exists()]:
            builder.check_host()
            store = Store(folder)
            store.clear()
            builder.ensure_base(store, report)
            for name in todo:
                archives[name] = _build(store, name, folder, report)
            store.trim()
        _used(archives)
        _forget_old(folder)
        return archives


def missing(cache: Path) -> list[str]:
    """Return the names of the images that `ensure` would have to build."""
    return [name for name, path in _archives(_folder(cache)).items() if not path.exists()]


def built(cache: Path) -> dict[str, Path]:
    """Return the archives without building any, for tests: a build takes longer than they may.

    Raises:
        ClusterError: Some are missing; names the command that builds them.
    """
    if names := missing(cache):
        command = "python -m tests.cluster images --build-only"
        raise ClusterError(f"images not built: {', '.join(names)}; run `{command}`")
    return _used(_archives(_folder(cache)))


def give(cluster: Cluster, archives: Mapping[str, Path]) -> dict[str, str]:
    """Import those that the node does not have yet; return what it calls them all.

    Raises:
        ClusterError: containerd refused one.
    """
    marks = cluster.folder.path / "images"
    marks.mkdir(exist_ok=True)
    for archive in archives.values():
        if not (marks / archive.name).exists():
            cluster.import_image(archive)
            (marks / archive.name).touch()
    return references(archives)


def references(archives: Mapping[str, Path] | None = None) -> dict[str, str]:
    """Return by which name the node knows each image.

    Args:
        archives: Of these; else of those that the sources make now.
    """
    return {name: f"{_repository(name)}:{tag}" for name, tag in _tags(archives).items()}


def chart_values(archives: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Return the chart's values that choose these images; arguments as for `references`."""
    tags = _tags(archives)

    def image(name: str) -> dict[str, str]:
        registry, _, repository = _repository(name).partition("/")
        return {"registry": registry, "repository": repository, "tag": tags[name]}

    return {
        "image": {"services": image("services"), "engine": image("engine-runtime")},
        "postgresql": {"image": image("postgresql")},
    }


def _build(store: Store, name: str, folder: Path, report: Callable[[str], None]) -> Path:
    report(f"building image {name}")
    began_s = time.monotonic()
    recipe = RECIPES[name]
    options = ["--target", recipe.target, "--build-arg", f"BASE={builder.base_name()}"]
    for variable in INDEX_VARIABLES:
        if os.environ.get(variable):
            options += ["--build-arg", variable]
    # What the caller trusts beyond Debian's list, such as a proxy's authority, goes for the build.
    if bundle := os.environ.get("SSL_CERT_FILE"):
        options += ["--volume", f"{bundle}:{BUNDLE}:ro"]
    context = store.scratch if isinstance(recipe.dockerfile, str) else ROOT
    for _ in range(ATTEMPTS_MAX):
        tag = recipe.tag()
        image = store.build(_repository(name), recipe.dockerfile, context, *options)
        if recipe.tag() == tag:
            break
        report(f"sources of image {name} have changed meanwhile; building it again")
    else:
        raise ClusterError(f"sources of image {name} keep changing while it is built")
    archive = _archive(folder, name, tag)
    store.save(image, f"{_repository(name)}:{tag}", archive)
    took_s, size_mb = time.monotonic() - began_s, archive.stat().st_size / 1e6
    report(f"built image {name} in {took_s:.0f} s, {size_mb:.0f} MB")
    return archive


def _folder(cache: Path) -> Path:
    return cache / "cluster" / "images"


def _archives(folder: Path) -> dict[str, Path]:
    return {name: _archive(folder, name, recipe.tag()) for name, recipe in RECIPES.items()}


def _archive(folder: Path, name: str, tag: str) -> Path:
    return folder / f"{name}-{tag}.tar"


def _tags(archives: Mapping[str, Path] | None) -> dict[str, str]:
    if archives is None:
        return {name: recipe.tag() for name, recipe in RECIPES.items()}
    return {name: path.stem.removeprefix(f"{name}-") for name, path in archives.items()}


def _repository(name: str) -> str:
    return f"localhost/zeroloop/{name}"


def _files(path: Path) -> Iterator[Path]:
    """The file, or the files below the folder, that a build copies."""
    found = [path] if path.is_file() else path.rglob("*")
    return iter(sorted(p for p in found if p.is_file() and "__pycache__" not in p.parts))


def _used(archives: dict[str, Path]) -> dict[str, Path]:
    for archive in archives.values():
        os.utime(archive)  # so it is not among the old ones
    return archives


def _forget_old(folder: Path) -> None:
    for name in RECIPES:
        found = sorted(folder.glob(f"{name}-*.tar"), key=lambda path: path.stat().st_mtime)
        for archive in found[:-ARCHIVES_KEPT]:
            archive.unlink()
