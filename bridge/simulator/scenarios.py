"""Ready-made stories: make the things in the world, return the webhook bodies that ShipStation
would send. They are in shapes.json."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bridge.simulator.shapes import SHAPES, Json
from bridge.simulator.world import World


@dataclass(frozen=True, slots=True)
class Scenario:
    summary: str
    play: Callable[[World], list[Json]]


def _play(story: Json, world: World) -> list[Json]:
    """What the verbs `add_order`, `add_shipstation_order`, `buy_labels` or `mark_shipped` are asked
    for stands under their names."""
    orders = [
        world.add_shipstation_order(
            story.get("foreign") or world.add_order(**story.get("add_order", {})),
            **story.get("add_shipstation_order", {}),
        )
        for _ in range(story.get("orders", 1))
    ]
    if "split" in story:
        orders = world.split(orders[0], story["split"])
    if "inline" in story:
        return [world.inline_fulfillments([world.inline_row(orders[0], story["inline"])])]
    if "mark_shipped" in story:
        return [
            getattr(world, story["webhook"])(world.mark_shipped(orders[0], **story["mark_shipped"]))
        ]
    labels = world.buy_labels(orders, **story.get("buy_labels", {}))
    if "void" in story:
        world.void_label(labels[0])
    return [getattr(world, story["webhook"])(labels)] * story.get("times", 1)


SCENARIOS = {
    name: Scenario(story["summary"], partial(_play, story))
    for name, story in SHAPES["scenarios"].items()
}
