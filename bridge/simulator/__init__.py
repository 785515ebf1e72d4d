"""Both vendors on loopback: ShipStation (V2 and V1) and Purple Dot, paged, signed with a real RSA
key, and able to fail in every named way.

world.py   World: the verbs of a story, on ledger.py, Purple Dot's strict rules      scenarios.py
ready-made stories shapes.py  rows exactly as the vendors write them: they are data, in shapes.json
faults.py     the named ways to fail server.py  Simulator: one loopback origin for shipstation.py
and purple_dot.py       signing.py    the keys subscribing.py  the subscriptions of both versions
"""

from bridge.simulator.faults import FAULTS, parse_fault
from bridge.simulator.model import (
    Credentials,
    Email,
    Item,
    Label,
    MarkedShipped,
    PurpleDotOrder,
    ShipStationOrder,
    Subscription,
)
from bridge.simulator.scenarios import SCENARIOS
from bridge.simulator.server import Simulator
from bridge.simulator.signing import Signer
from bridge.simulator.world import World

__all__ = [
    "FAULTS",
    "SCENARIOS",
    "Credentials",
    "Email",
    "Item",
    "Label",
    "MarkedShipped",
    "PurpleDotOrder",
]
__all__ += ["ShipStationOrder", "Signer", "Simulator", "Subscription", "World", "parse_fault"]
