"""Benchmarks. Figures are ratios within one interleaved run wherever that is possible."""
