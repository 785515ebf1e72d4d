"""The simulated account's carriers, under every name that ShipStation gives them."""

from types import SimpleNamespace

from bridge.simulator.shapes import SHAPES

CARRIERS = {row["code"]: SimpleNamespace(**row) for row in SHAPES["carriers"]}
"""By V2 code. `pattern` makes a tracking number of the carrier's look out of a counter."""
