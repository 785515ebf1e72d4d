"""Parcels as people in this trade met them, each through the whole bridge on both databases.

A case in tests/cases holds the vendors' rows, the webhooks, and what must come of them. Its
siblings are the same parcel with some values changed: other forms of the same trouble, and
neighbors that look alike and must stay quiet.
"""

import copy
import json
from collections import Counter
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.simulator import World
from tests.support.fakes import Clock
from tests.support.recorded_vendors import RecordedVendors
from tests.support.virtual_bridge import TOKEN, VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

Json = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "cases"


@dataclass(frozen=True)
class Case:
    """One parcel: what both vendors show, what arrives, and what must come of it."""

    name: str
    fulfillment_orders: list[Json]
    rows: Json
    webhooks: list[Json]
    expected: Json


def _cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        yield _case(path.stem, content, content["expect"])
        for sibling in content["siblings"]:
            changed = copy.deepcopy(content)
            _apply(sibling["changes"], changed)
            name = f"{path.stem}: {sibling['title']}"
            yield _case(name, changed, sibling["expect"])


def _case(name: str, content: Json, expected: Json) -> Case:
    orders = content["purple_dot"]["fulfillment_orders"]
    return Case(name, orders, content["shipstation"], content["webhooks"], expected)


def _apply(changes: Json, content: Any) -> None:
    """Each value to its place; a place one past the end of a list is a new element."""
    for path, value in changes.items():
        *parents, last = path.split(".")
        holder = content
        for name in parents:
            holder = holder[_key(holder, name)]
        key = _key(holder, last)
        if isinstance(holder, list) and key == len(holder):
            holder.append(value)
        else:
            holder[key] = value


def _key(holder: Any, name: str) -> Any:
    return int(name) if isinstance(holder, list) else name


@pytest.mark.parametrize("case", list(_cases()), ids=lambda case: case.name)
def test_parcel_of_the_field_is_told_rightly_or_a_person_is_asked(
    migrated_url: str,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
    case: Case,
) -> None:
    case = copy.deepcopy(case)  # A webhook may change its rows.
    vendors = RecordedVendors(
        World(now=clock), rows=case.rows, fulfillment_orders=case.fulfillment_orders
    )
    with VirtualBridge(migrated_url, clock, vendors) as bridge:
        statuses = [_send(bridge, vendors, case, webhook) for webhook in case.webhooks]
        outcome = _outcome(bridge)

        assert statuses[-1] == case.expected.get("status", statuses[-1])
        acceptable = case.expected["outcomes"]
        assert any(_is(outcome, wanted) for wanted in acceptable), (outcome, acceptable)
        _check_what_was_posted(bridge, case.expected)
        if "ignored" in case.expected:
            assert bridge.events()[-1]["reason"] == case.expected["ignored"]
        if "calls_most" in case.expected:
            assert bridge.world.count("purple_dot") <= case.expected["calls_most"]
        assert bridge.left_without_a_time() == []


def _send(bridge: VirtualBridge, vendors: RecordedVendors, case: Case, webhook: Json) -> int:
    """One webhook to its end; the answer's status."""
    _apply(webhook.get("changes", {}), {"shipstation": case.rows})
    bridge.clock.advance(webhook.get("after_seconds", 1))
    body = webhook["body"]
    if "resource_url" in body:
        vendors.show(body["resource_url"], webhook["lists"])
        body = body | {"resource_url": _here(body["resource_url"], vendors.url)}
    raw, headers = vendors.webhook(body, now=bridge.clock.now)
    for name, value in webhook.get("headers", {}).items():
        headers[name] = value.replace("<token>", TOKEN)
    path = webhook.get("path", "/webhooks/shipstation/<token>").replace("<token>", TOKEN)
    status: int = bridge.post(raw, headers, path).status_code
    bridge.settle()
    return status


def _here(resource_url: str, origin: str) -> str:
    """The vendor's URL as the simulator serves it."""
    for vendor in ("https://api.shipstation.com", "https://ssapi.shipstation.com"):
        resource_url = resource_url.replace(vendor, origin)
    return resource_url


def _outcome(bridge: VirtualBridge) -> Json:
    """What Purple Dot was told, in units of each SKU; why a person is asked, and in what words."""
    told: dict[str, Counter[str]] = {}
    for body in bridge.accepted():
        order = bridge.world.orders[body["fulfillment_order_id"]]
        skus = {line.id: line.sku for line in order.lines}
        for line in body["line_items"]:
            units = told.setdefault(order.reference, Counter())
            units[skus[line["id"]]] += line["quantity"]
    exceptions = [row for row in bridge.deliveries() if row["status"] in ("held", "dead")]
    exceptions += [event for event in bridge.events() if event["status"] == "dead"]
    return {
        "told": {reference: dict(units) for reference, units in told.items()},
        "asked": sorted(str(row["reason"]) for row in exceptions),
        "details": " ".join(str(row.get("detail") or "") for row in exceptions),
    }


def _is(outcome: Json, wanted: Json) -> bool:
    return (
        outcome["told"] == wanted["told"]
        and outcome["asked"] == sorted(wanted["asked"])
        and all(text in outcome["details"] for text in wanted.get("mentions", []))
    )


def _check_what_was_posted(bridge: VirtualBridge, expected: Json) -> None:
    """Number, company and link of each fulfillment, as far as the case names them."""
    for body in bridge.accepted():
        info = body["tracking_info"]
        assert info["number"] == expected.get("number", info["number"])
        assert info.get("company") == expected.get("company", info.get("company"))
        assert expected.get("company_has", "") in info.get("company", "")
        assert info.get("company") not in expected.get("company_not", [])
        assert info.get("url") in expected.get("links", [info.get("url")])
        assert expected.get("link_has", "") in (info.get("url") or "")
    delivered = [row for row in bridge.deliveries() if row["status"] == "delivered"]
    for row in delivered:
        numbers = expected.get("numbers", [])
        assert not numbers or row["tracking_number"] == numbers[0]
        assert set(numbers) <= set(row["all_tracking_numbers"])
        everything = expected.get("numbers_all", row["all_tracking_numbers"])
        assert row["all_tracking_numbers"] == everything
