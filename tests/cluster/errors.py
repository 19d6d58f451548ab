"""What a person at the command line can act on."""


class ClusterError(Exception):
    """The cluster cannot do what was asked; the message says why and what to do."""
