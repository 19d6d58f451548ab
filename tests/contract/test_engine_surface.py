"""The installed vLLM still has the surface that one adapter file relies on. Read, not imported."""

import ast
import importlib.util
from pathlib import Path

import pytest


def methods_of(module: str, name: str) -> dict[str, set[str]]:
    """Parameters of each method of a class in an installed module, from its source."""
    package = importlib.util.find_spec(module.split(".")[0])
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    tree = ast.parse(path.read_text())
    (cls,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    return {
        f.name: {a.arg for a in (*f.args.args, *f.args.kwonlyargs)}
        for f in cls.body
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.fixture(scope="module")
def engine() -> dict[str, set[str]]:
    return methods_of("vllm.v1.engine.async_llm", "AsyncLLM")


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("generate", {"prompt", "sampling_params", "request_id"}),
        ("abort", {"request_id"}),
        ("pause_generation", {"mode", "clear_cache"}),
        ("resume_generation", set()),
        ("collective_rpc", {"method", "kwargs"}),
        ("check_health", set()),
        ("reset_prefix_cache", set()),
        ("shutdown", set()),
    ],
)
def test_the_engine_has_what_the_adapter_calls(engine, method, parameters) -> None:
    assert method in engine
    assert parameters <= engine[method]
