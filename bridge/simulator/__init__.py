"""Both vendors on loopback: ShipStation (V2 and V1) and Purple Dot, paged, signed with a real RSA
key, and able to fail in every named way.

world.py             what a person does in ShipStation's screens, and the webhooks that follow
fulfillment_book.py  Purple Dot's orders and its strict rules
model.py             the things that exist in that world
shapes.py            rows exactly as the vendors write them; they are data, in shapes.json
scenarios.py         ready-made stories
faults.py            the named ways to fail
server.py            Simulator: one loopback origin for both vendors
shipstation.py       ShipStation's routes; subscribing.py those of its webhooks
purple_dot.py        Purple Dot's routes
http_server.py       the HTTP server below it, whose connections may be cut
signing.py           the keys that sign V2's webhooks
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
    "ShipStationOrder",
    "Signer",
    "Simulator",
    "Subscription",
    "World",
    "parse_fault",
]
