"""Parts of the benchmark `tests.bench.execution`."""
