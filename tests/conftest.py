"""What every test may rely on."""

import signal

# A shell makes what it starts in the background ignore SIGINT, and children inherit that. Ctrl-C
# is among the things that are tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
