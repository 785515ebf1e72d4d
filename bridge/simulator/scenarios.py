"""Ready-made stories, one row each: make the things in the world, return the webhook bodies that ShipStation would send."""

from collections.abc import Callable
from dataclasses import dataclass

from bridge.simulator.model import Json
from bridge.simulator.world import World

_BATCH_SIZE = 30


@dataclass(frozen=True, slots=True)
class Scenario:
    summary: str
    tell: Callable[[World], list[Json]]


def _v2_label(world: World) -> list[Json]:
    return [world.label_created_v2(world.buy_labels(world.add_shipstation_order(world.add_order())))]


def _v2_label_by_id(world: World) -> list[Json]:
    order = world.add_shipstation_order(world.add_order(), style="id", with_line_ids=True)
    return [world.label_created_v2(world.buy_labels(order))]


def _v2_split(world: World) -> list[Json]:
    order = world.add_shipstation_order(world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)]))
    parts = world.split(order, [[("ALDER-TEE-S", 2)], [("ALDER-CAP", 1)]])
    return [world.label_created_v2(world.buy_labels(parts, carrier="dhl_express"))]


def _v2_batch(world: World) -> list[Json]:
    orders = [world.add_shipstation_order(world.add_order()) for _ in range(_BATCH_SIZE)]
    return [world.label_created_v2(world.buy_labels(orders))]


def _v2_multi_package(world: World) -> list[Json]:
    return [world.label_created_v2(world.buy_labels(world.add_shipstation_order(world.add_order()), packages=3))]


def _v2_mark_shipped(world: World) -> list[Json]:
    return [world.fulfillment_shipped_v2(world.mark_shipped(world.add_shipstation_order(world.add_order())))]


def _v2_rejected(world: World) -> list[Json]:
    order = world.add_shipstation_order(world.add_order())
    rejected = world.mark_shipped(order, None, None, provider_code="acme_3pl", rejection="Out of stock")
    return [world.fulfillment_rejected_v2(rejected)]


def _v2_voided(world: World) -> list[Json]:
    labels = world.buy_labels(world.add_shipstation_order(world.add_order()), carrier="stamps_com")
    world.void_label(labels[0])
    return [world.label_created_v2(labels)]


def _v2_return(world: World) -> list[Json]:
    order = world.add_shipstation_order(world.add_order(status="FULFILLED"))
    return [world.label_created_v2(world.buy_labels(order, is_return=True, carrier="stamps_com"))]


def _v2_foreign(world: World) -> list[Json]:
    return [world.label_created_v2(world.buy_labels(world.add_shipstation_order("100482", [("SHOP-MUG", 1)])))]


def _v2_duplicate(world: World) -> list[Json]:
    return _v2_label(world) * 2


def _v1_label(world: World) -> list[Json]:
    return [world.ship_notify(world.buy_labels(world.add_shipstation_order(world.add_order()), carrier="stamps_com"))]


def _v1_items(world: World) -> list[Json]:
    order = world.add_shipstation_order(world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)]), style="id", with_line_ids=True)
    return [world.item_ship_notify(world.buy_labels(order, items=[("ALDER-TEE-S", 1)]))]


def _v1_mark_shipped(world: World) -> list[Json]:
    return [world.v1_fulfillment_shipped(world.mark_shipped(world.add_shipstation_order(world.add_order(ref_style="hash")), "USPS"))]


def _inline(world: World) -> list[Json]:
    order = world.add_shipstation_order(world.add_order())
    return [world.inline_fulfillments([world.inline_row(order, "1ZB7X0410390000001")])]


SCENARIOS: dict[str, Scenario] = {
    "v2_label": Scenario("a label for a whole order, tied by its number only", _v2_label),
    "v2_label_by_id": Scenario("a label for an order that carries Purple Dot's ids", _v2_label_by_id),
    "v2_split": Scenario("a split order: two labels of one batch", _v2_split),
    "v2_batch": Scenario(f"{_BATCH_SIZE} labels of one batch, over two pages", _v2_batch),
    "v2_multi_package": Scenario("one label of three packages", _v2_multi_package),
    "v2_mark_shipped": Scenario("marked as shipped with outside tracking", _v2_mark_shipped),
    "v2_rejected": Scenario("a provider refuses an order", _v2_rejected),
    "v2_voided": Scenario("a label that is void by the time it is fetched", _v2_voided),
    "v2_return": Scenario("a return label", _v2_return),
    "v2_foreign": Scenario("a label for an order that Purple Dot knows nothing of", _v2_foreign),
    "v2_duplicate": Scenario("the same webhook twice", _v2_duplicate),
    "v1_label": Scenario("SHIP_NOTIFY for a whole order", _v1_label),
    "v1_items": Scenario("ITEM_SHIP_NOTIFY for a part of an order", _v1_items),
    "v1_mark_shipped": Scenario("FULFILLMENT_SHIPPED, the reference stored with a '#'", _v1_mark_shipped),
    "inline": Scenario("a warehouse that tells the bridge itself", _inline),
}
