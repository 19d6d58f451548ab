"""What a trainer can be told beside the algorithm.

One truth for the trainer and for who starts it: what is out of range is refused when a run is
created, and not when its first round has been played.
"""

RANKS_MAX = 16
"""Processes of one node that train together."""

ZERO_STAGE_MIN = 2
ZERO_STAGE_MAX = 3
"""DeepSpeed ZeRO: 2 shares out optimiser state and gradients, 3 the weights as well."""

MICRO_BATCH_TOKENS_MAX = 1 << 22
"""Tokens of one forward pass, padding included."""

CHECKPOINT_EVERY_ROUNDS_MAX = 1000
