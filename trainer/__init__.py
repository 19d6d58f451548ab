"""The trainer: leases batches, takes optimiser steps, publishes weights.

Started by `python -m trainer.launch`, or by torchrun directly:
`python -m torch.distributed.run -m trainer`.
"""
