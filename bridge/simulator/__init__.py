"""Both vendors on loopback: ShipStation (V2 and V1) and Purple Dot, paged, signed with a real RSA key, and able to fail in every named way.

world.py         World: the state and the verbs of a scenario     scenarios.py   ready-made stories, one row each
purple_dot.py    Purple Dot's routes                              ledger.py      Purple Dot's strict rules
shipstation_*.py ShipStation's routes                             *_shapes.py    rows exactly as the vendors write them
faults.py        the named ways to fail                           server.py      Simulator: the one loopback origin
"""

from bridge.simulator.faults import FAULTS
from bridge.simulator.model import AnswerStyle, Credentials, Email, Item, Label, MarkedShipped, PurpleDotOrder, ShipStationOrder
from bridge.simulator.scenarios import SCENARIOS
from bridge.simulator.server import Simulator
from bridge.simulator.signing import Signer
from bridge.simulator.world import World

__all__ = [
    "FAULTS",
    "SCENARIOS",
    "AnswerStyle",
    "Credentials",
    "Email",
    "Item",
    "Label",
    "MarkedShipped",
    "PurpleDotOrder",
    "ShipStationOrder",
    "Signer",
    "Simulator",
    "World",
]
