"""Playing a round: one module per step, all resumable from what is stored."""
