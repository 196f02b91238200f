"""The parts of `make bench`, in the order of the table.

A part is a module here with `measure(say)`, which returns the lines of its table or raises Skipped. The first line of its
docstring is its title. It brings up what it needs and leaves nothing behind; `say` tells the person who waits how far it is.
"""

from bench.parts import analysis, coldstart, million, peer, requests

PARTS = {"requests": requests, "coldstart": coldstart, "analysis": analysis, "peer": peer, "million": million}
# Only when asked for by name: loading a million rows takes longer than all the others.
ON_REQUEST = {"million"}
