"""One machine: the services and the trainer are child processes on loopback."""
