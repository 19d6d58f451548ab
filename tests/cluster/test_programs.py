"""Programs are built once, whole, and from one pinned version each."""

import re
import threading
import time
from pathlib import Path

import pytest

from tests.cluster import host
from tests.cluster.errors import ClusterError
from tests.cluster.programs import build, catalog

PAUSE = next(program for program in catalog.CLUSTER if program.name == "pause")
BROKEN = "package main\nfunc main() { undefined() }\n"


def module(folder: Path, source: str) -> catalog.Program:
    """A program of our own."""
    folder.mkdir()
    (folder / "go.mod").write_text("module example\n\ngo 1.26.3\n")
    (folder / "main.go").write_text(source)
    return catalog.Program("example", folder, ".")


def test_the_project_has_one_gvisor() -> None:
    shim = catalog.HERE / "gvisor"

    assert catalog.pinned(shim, "gvisor.dev/gvisor") == catalog.pinned(
        catalog.GVISOR, "gvisor.dev/gvisor"
    )


def test_every_version_is_pinned_with_its_digest() -> None:
    for program in catalog.ALL:
        text = (program.module / "go.mod").read_text()
        assert (program.module / "go.sum").exists() or "require" not in text, program.name


def test_a_second_build_takes_no_time(tmp_path: Path) -> None:
    said: list[str] = []
    (place,) = build.build([PAUSE], tmp_path, said.append).values()
    began_s = time.monotonic()

    again = build.build([PAUSE], tmp_path, said.append)

    assert again == {"pause": place}
    assert time.monotonic() - began_s < 1
    assert [re.sub(r"\d+ s", "N s", line) for line in said] == [
        "building pause (1 of 1)",
        "built pause in N s",
    ]


def test_two_builders_at_once_do_the_work_once(tmp_path: Path) -> None:
    results: list[dict[str, Path]] = []
    builders = [
        threading.Thread(
            target=lambda: results.append(build.build([PAUSE], tmp_path, lambda _: None))
        )
        for _ in range(2)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()

    assert len(results) == 2
    assert results[0] == results[1]
    assert [path.name for path in results[0]["pause"].parent.iterdir() if path.is_file()] != []


def test_another_source_is_another_place(tmp_path: Path) -> None:
    go = build.Go("go", "1.26.3")
    program = module(tmp_path / "one", "package main\nfunc main() {}\n")
    before = build.place(program, tmp_path, go)
    newer_go = build.place(program, tmp_path, build.Go("go", "1.26.4"))
    (program.module / "main.go").write_text(BROKEN)

    assert len({before, newer_go, build.place(program, tmp_path, go)}) == 3


def test_a_failed_build_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    program = module(tmp_path / "broken", BROKEN)

    with pytest.raises(ClusterError, match=r"cannot build example[\s\S]*undefined"):
        build.build([program], tmp_path, lambda _: None)

    assert not build.place(program, tmp_path, build.find_go(tmp_path, "1.26.3")).exists()


def test_a_missing_go_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ClusterError, match=r"no Go 1\.26\.3 or newer.*go\.dev/dl"):
        build.find_go(tmp_path, "1.26.3")


def test_everything_missing_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host, "SBIN", str(tmp_path))
    monkeypatch.setattr(host, "CNI_FOLDERS", (tmp_path,))

    with pytest.raises(ClusterError, match=r"runc, iptables, .*apt-get install .*iptables.* runc"):
        host.check()
