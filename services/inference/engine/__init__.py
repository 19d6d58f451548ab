"""Engines that generate and score: vLLM, and a simulated one for load and fault tests."""
