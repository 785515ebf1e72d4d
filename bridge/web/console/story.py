"""One event's, or one delivery's, whole story on one page, top to bottom: what came, what was
decided by which rule, what was sent."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from flask import abort, flash, request
from markupsafe import Markup, escape

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Tracking
from bridge.domain.errors import BridgeError
from bridge.domain.orders import FulfillmentOrder, normalize_reference
from bridge.logs import masked_text
from bridge.operations.explain import explain_delivery, explain_event, rule_in_words
from bridge.services import Services
from bridge.store import audit, orders, reports
from bridge.store.engine.database import Connection
from bridge.vendors.purple_dot.payloads import fulfillment_body
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.web.console.lists import ways
from bridge.web.console.pages import render

Story = Mapping[str, Any]
_LONGEST_SEARCH = 200


def event(services: Services, event_id: str) -> str:
    """From the notification to what Purple Dot answered, and what came after."""
    with services.database.read() as connection:
        story = reports.event_story(connection, event_id)
        if story is None:
            abort(404, f"There is no event {event_id[:40]}. It may have been typed wrongly.")
        stories = [_told(services, connection, one) for one in story["delivery_stories"]]
        acts, now = audit.entries(connection, subject=event_id), services.database.now(connection)
    known = EVENT_TYPES.get(story["event_type"])
    facts = {
        "meaning": known.meaning if known else "a type that tells nothing of shipped goods",
        "fetch_curl": fetch_curl(story),
    }
    return render(
        "event.html",
        story=story,
        stories=stories,
        acts=acts,
        at=now,
        sentences=explain_event(story),
        rule=rule_in_words,
        **facts,
    )


def delivery(services: Services, delivery_id: str) -> str:
    """One delivery alone, with what mends it; `find` looks for an order to link it to."""
    with services.database.read() as connection:
        story = reports.delivery_story(connection, delivery_id)
        if story is None:
            abort(404, f"There is no delivery {delivery_id[:40]}. It may have been typed wrongly.")
        told = _told(services, connection, story)
        candidates = _named_by(connection, story["shipment"]) if told["may_link"] else []
        now = services.database.now(connection)
    text = request.args.get("find", "").strip()[:_LONGEST_SEARCH]
    if text and told["may_link"]:
        candidates = _asked(services, text)
    facts = {
        "find": text,
        "candidates": candidates,
        "at": now,
        "sentences": explain_delivery(story),
    }
    return render("delivery.html", one=told, rule=rule_in_words, **facts)


def _told(services: Services, connection: Connection, story: Story) -> dict[str, Any]:
    """A delivery's story with what a page says besides."""
    told = {**story, **ways(services, connection, story)}
    told["lines_by"] = line_rules(story)
    told["carrier_by"] = carrier_rule(services, story["shipment"])
    told["body"] = sent_or_ready(story)
    told["curl"] = (
        post_curl(services.settings.purple_dot_base_url, told["body"]) if told["body"] else None
    )
    told["acts"] = audit.entries(connection, subject=story["id"])
    return told


def _named_by(connection: Connection, shipment: Story) -> Sequence[FulfillmentOrder]:
    """The orders that what ShipStation says may name, as we last saw them."""
    values = {
        kind: {clue["value"] for clue in shipment["clues"] if clue["kind"] == kind}
        for kind in ("order_id", "reference")
    }
    return orders.known(
        connection,
        order_ids=values["order_id"],
        references={normalize_reference(text) for text in values["reference"]},
    )


def _asked(services: Services, text: str) -> Sequence[FulfillmentOrder]:
    try:
        return services.orders_named(text)
    except BridgeError as exc:
        flash(f"Purple Dot could not be asked: {exc}", "bad")
        return []


def line_rules(story: Story) -> dict[str, str]:
    """By what each line of the order was matched to something in the parcel."""
    named = {item["line_item_id"] for item in story["shipment"]["items"]} - {None}
    packed = {item["sku"] for item in story["shipment"]["items"]} - {None}
    return {
        line["id"]: "its line id"
        if line["id"] in named
        else "its SKU"
        if line["sku"] in packed
        else "what was left, by hand"
        for line in story["line_items"]
    }


def carrier_rule(services: Services, shipment: Story) -> str:
    """By which row the carrier got its name."""
    given = shipment["carrier_name"] or shipment["carrier_code"]
    if not given:
        return "ShipStation named none"
    row = services.carriers.row(given)
    if row is None:
        return f"“{given}” is not in the carrier table, and goes out as it was written"
    certain = f", {row['certain']}" if row.get("certain") else ""
    return f"“{given}” is the table's row {row['company']} ({row['codes']}{certain})"


def sent_or_ready(story: Story) -> dict[str, Any] | None:
    """The exact JSON that was sent last, or would be sent; None while its lines aren't known."""
    sent = next(
        (
            attempt["request"]
            for attempt in reversed(story["attempt_history"])
            if attempt["request"]
        ),
        None,
    )
    if sent or not story["line_items"] or not story["tracking_number"]:
        return sent
    lines = tuple(
        FulfilledLine(line["id"], line["quantity"], line["sku"]) for line in story["line_items"]
    )
    tracking = Tracking(story["tracking_number"], story["tracking_company"], story["tracking_url"])
    order_id, reference = story["fulfillment_order_id"] or "", story["reference"] or ""
    action = CreateFulfillment(order_id, reference, lines, tracking, story["notify_customer"])
    return fulfillment_body(action)


def post_curl(base_url: str, body: Mapping[str, Any]) -> Markup:
    """The request as a line for a shell; the token comes from its environment, so nothing here is
    left to be masked."""
    headers = '-H "X-Purple-Dot-Access-Token: $BRIDGE_PURPLE_DOT_ACCESS_TOKEN" -H "Content-Type: application/json"'
    told = masked_text(json.dumps(body))
    return escape(
        f"curl -X POST {shlex.quote(base_url + '/fulfillment')} {headers} -d {shlex.quote(told)}"
    )


def fetch_curl(story: Story) -> Markup | None:
    """What an event points at, as a line for a shell; the key comes from its environment."""
    url = story["resource_url"]
    if not url:
        return None
    v1 = '-u "$BRIDGE_SHIPSTATION_V1_API_KEY:$BRIDGE_SHIPSTATION_V1_API_SECRET"'
    return escape(
        f"curl {shlex.quote(masked_text(url))} "
        + ('-H "api-key: $BRIDGE_SHIPSTATION_API_KEY"' if "/v2/" in url else v1)
    )
