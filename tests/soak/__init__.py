"""Programs by the hundred thousand, with sandboxes killed at random: `python -m tests.soak`."""
