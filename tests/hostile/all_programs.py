"""Every hostile program."""

from tests.hostile import excess, forgery, interpreter, leftovers, reach

CORPUS = [
    *reach.PROGRAMS,
    *excess.PROGRAMS,
    *forgery.PROGRAMS,
    *leftovers.PROGRAMS,
    *interpreter.PROGRAMS,
]
