"""The token file is private to its user, made once, and found by itself."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zeroloop.client.token import (
    ensure_token,
    load_token,
    read_token,
    service_token,
    token_path,
)
from zeroloop.errors import AuthError


def state(tmp_path: Path, **others: str) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path), **others}


def test_the_first_service_makes_the_token_for_its_user_alone(tmp_path: Path) -> None:
    path = token_path(state(tmp_path))

    token = ensure_token(path)

    assert len(token) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_token(environ=state(tmp_path)) == token


def test_services_that_start_together_agree_on_one_token(tmp_path: Path) -> None:
    path = tmp_path / "zeroloop" / "token"
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: ensure_token(path), range(32)))

    assert len(tokens) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["token"]


def test_argument_then_variable_then_named_file_then_own_file(tmp_path: Path) -> None:
    own = ensure_token(token_path(state(tmp_path)))
    named = tmp_path / "named"
    named.write_text("from-named\n")
    named.chmod(0o440)
    environ = state(tmp_path, ZEROLOOP_TOKEN="from-variable", ZEROLOOP_TOKEN_FILE=str(named))

    assert load_token("from-argument", environ) == "from-argument"
    assert load_token(environ=environ) == "from-variable"
    del environ["ZEROLOOP_TOKEN"]
    assert load_token(environ=environ) == "from-named"
    del environ["ZEROLOOP_TOKEN_FILE"]
    assert load_token(environ=environ) == own


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660])
def test_a_token_that_others_may_have_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = token_path(state(tmp_path))
    ensure_token(path)
    path.chmod(mode)

    with pytest.raises(AuthError, match=f"rm {path}"):
        ensure_token(path)
    with pytest.raises(AuthError, match=f"mode {mode:04o}"):
        load_token(environ=state(tmp_path))


def test_a_missing_token_says_where_it_would_be_and_how_to_get_one(
    tmp_path: Path,
) -> None:
    with pytest.raises(AuthError, match=r"zeroloop/token does not exist.*ZEROLOOP_TOKEN_FILE"):
        load_token(environ=state(tmp_path))


def test_an_empty_token_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)

    with pytest.raises(AuthError, match="is empty"):
        ensure_token(path)


def test_a_named_file_that_is_missing_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="nowhere cannot be read"):
        read_token(tmp_path / "nowhere")


def test_a_service_takes_a_token_that_a_cluster_has_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text("mounted\n")
    path.chmod(0o440)
    with pytest.raises(AuthError, match="open to other users"):
        service_token(path)
    # As of another user: whoever mounts it gives it to our group.
    monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
    assert service_token(path) == "mounted"
    path.chmod(0o444)
    with pytest.raises(AuthError, match="open to other users"):
        service_token(path)
