"""Tasks about small deterministic Python programs. Source: arXiv:2505.03335, section 3."""
