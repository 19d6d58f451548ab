"""From the first release of the chart to this one and back, while a run is played.

Both charts run the services as they are now: it is the charts' objects that change hands.
"""

from collections.abc import Generator

import pytest

from tests.cluster import installation
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import FIRST_RELEASE, RELEASE, SMALL, Installation
from tests.cluster.test_platform import once_each

pytestmark = pytest.mark.timeout(1800)

RUN = "upgraded"


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    made.put(chart=FIRST_RELEASE)
    yield made
    made.helm("uninstall", RELEASE, "--wait")


def chart_of(installed: Installation) -> set[str]:
    """Versions of the chart that made the controller and the CRD."""
    made = [
        installed.get("deployment", f"{RELEASE}-controller"),
        installed.get("customresourcedefinition", "selfplayruns.zeroloop.dev"),
    ]
    return {item["metadata"]["labels"]["helm.sh/chart"] for item in made}


async def test_a_run_goes_on_through_an_upgrade_and_a_rollback(installed: Installation) -> None:
    assert chart_of(installed) == {"zeroloop-0.1.0"}
    secrets = {name: installed.secret(name, key) for name, key in SECRETS.items()}
    installed.create_run(RUN, 4, settings=SMALL)
    installed.wait_for(RUN, lambda status: status.get("currentRound", 0) >= 1)

    installed.put(upgrade=True)

    assert "zeroloop-0.1.0" not in chart_of(installed)
    installed.wait_for(RUN, lambda status: status.get("weightsVersion", 0) >= 2)
    installed.helm("rollback", RELEASE, "--wait", "--timeout=240s")
    assert chart_of(installed) == {"zeroloop-0.1.0"}
    installed.wait_for(RUN, lambda status: status.get("phase") == "Completed")
    await once_each(installed, RUN, 4)
    assert {name: installed.secret(name, key) for name, key in SECRETS.items()} == secrets


async def test_what_was_dumped_is_there_again_after_a_restore(installed: Installation) -> None:
    """As docs/how-to/backup.md says."""
    database = ("--host=/tmp", "--username=zeroloop", "zeroloop")
    pod = f"{RELEASE}-postgresql-0"
    before = await history(installed)
    dump = installed.kubectl("exec", pod, "--", "pg_dump", "--clean", "--if-exists", *database)
    scale(installed, 0)
    loss = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
    installed.kubectl("exec", pod, "--", "psql", f"--command={loss}", *database)

    one_piece = ("--single-transaction", "--set=ON_ERROR_STOP=1", "--quiet")
    installed.kubectl("exec", "-i", pod, "--", "psql", *one_piece, *database, input_text=dump)

    scale(installed, 1)
    assert await history(installed) == before
    installed.wait_for(RUN, lambda status: status.get("phase") == "Completed")


def scale(installed: Installation, replicas: int) -> None:
    writers = [f"deployment/{RELEASE}-{name}" for name in ("controller", "buffer")]
    installed.kubectl("scale", *writers, f"--replicas={replicas}")
    for writer in writers:
        installed.kubectl("rollout", "status", writer, "--timeout=180s")


async def history(installed: Installation) -> tuple[object, ...]:
    """What the database knows of the run."""
    async with installed.client("buffer") as client:
        rounds = await client.rounds.list(run=RUN)
        tasks = await client.tasks.list(run=RUN)
        return rounds, sorted(task.task_id for task in tasks), await client.weights.list(run=RUN)


SECRETS = {"token": "token", "tls": "tls.crt", "database": "password"}
"""What must stay as it is, by a key of it."""
