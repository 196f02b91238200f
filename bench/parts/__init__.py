"""Lists the parts of `make bench`, in the order of the table.

A part is a module with `measure(say)`, which returns lines or raises Skipped; `say` reports progress. The
first line of its docstring is its title in the table. It starts what it needs and leaves nothing behind.
"""

from bench.parts import analysis, coldstart, million, peer, requests

PARTS = {"requests": requests, "coldstart": coldstart, "analysis": analysis, "peer": peer, "million": million}
# Run only by name: loading a million rows takes longer than all other parts.
ON_REQUEST = {"million"}
