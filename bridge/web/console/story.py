"""One webhook's, or one parcel's, whole story on one page: what came, what was decided by which
rule, what was sent, and what a person can do about it."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import abort, flash, request
from markupsafe import Markup, escape

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Tracking
from bridge.domain.deliveries import Delivery
from bridge.domain.errors import BridgeError, PayloadError, RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import FulfillmentOrder, normalize_reference
from bridge.domain.reasons import MEANINGS, Reason
from bridge.logs import masked_text
from bridge.operations import repair
from bridge.operations.explain import explain_delivery, explain_event, rule_in_words
from bridge.operations.replay import differences
from bridge.services import Services
from bridge.store import audit, deliveries, orders, reports
from bridge.store.engine.database import Connection
from bridge.store.queries import Query
from bridge.translate.remaining import rest_of
from bridge.translate.standing import as_earlier
from bridge.vendors.purple_dot.payloads import fulfillment_body
from bridge.vendors.shipstation import webhook
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.web.console import timeline
from bridge.web.console.actions import find_one
from bridge.web.console.choices import choices_for
from bridge.web.console.inbox import remarks_on
from bridge.web.console.pages import render

Story = Mapping[str, Any]
_LONGEST_SEARCH = 200
_COUNT_OF_ONE_KIND = re.compile(r"[0-9]+ [a-z_]+")
_V1_CREDENTIALS = '-u "$BRIDGE_SHIPSTATION_V1_API_KEY:$BRIDGE_SHIPSTATION_V1_API_SECRET"'
_V2_CREDENTIALS = '-H "api-key: $BRIDGE_SHIPSTATION_API_KEY"'


@dataclass(frozen=True, slots=True)
class Candidate:
    """An order that a parcel may belong to: what is left of it by line id, whether all of the
    parcel fits into that, what would be left after it, in words, what Purple Dot has of it already,
    and which of ShipStation's fields name it."""

    order: FulfillmentOrder
    left: Mapping[str, int]
    fits: bool
    after: str
    posted: Sequence[Delivery] = ()
    named_by: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LineChoice:
    """A line of the order that may have been in the parcel; `suggested` units of it are, by what
    ShipStation says."""

    line_id: str
    sku: str | None
    left: int
    suggested: int


@dataclass(frozen=True, slots=True)
class LinesLeft:
    """What is left of an order, filled in with what fits of the parcel; `rest` is all of it in
    words."""

    choices: Sequence[LineChoice] = ()
    rest: str = ""


def event(services: Services, event_id: str) -> str:
    """From the notification to what Purple Dot answered, and what people did."""
    with services.database.read() as connection:
        story = reports.event_story(connection, event_id)
        if story is None:
            abort(404, f"There is no webhook {event_id[:40]}. It may have been typed wrongly.")
        parcels = [
            _with_facts(services, connection, parcel) for parcel in story["delivery_stories"]
        ]
        entries = audit.entries(connection, subject=event_id)
        remarks = remarks_on(connection, [event_id]).get(event_id, [])
        now = services.database.now(connection)
    event_type = EVENT_TYPES.get(story["event_type"])
    return render(
        "event.html",
        story=story,
        parcels=parcels,
        steps_of_event=timeline.of_event(story),
        entries=entries,
        remarks=remarks,
        at=now,
        sentences=explain_event(story),
        rule=rule_in_words,
        meaning=event_type.meaning if event_type else "Its type says nothing of shipped goods.",
        says_more=_says_more(story),
        fetch_curl=fetch_curl(story, services),
    )


def _says_more(story: Story) -> bool:
    """Whether an event's detail adds anything to what its reason says. What only counts one kind
    of shipments, such as `1 voided`, does not."""
    detail, reason = story["detail"] or "", story["reason"]
    if not reason:
        return bool(detail)
    said = MEANINGS[Reason(reason)].sentence.rstrip(".").lower()
    return bool(detail) and detail.lower() != said and not _COUNT_OF_ONE_KIND.fullmatch(detail)


def delivery(services: Services, delivery_id: str) -> str:
    """One parcel alone, with what repairs it; `find` looks for an order to link it to."""
    text = request.args.get("find", "").strip()[:_LONGEST_SEARCH]
    with services.database.read() as connection:
        story = reports.delivery_story(connection, delivery_id)
        if story is None:
            abort(404, f"There is no parcel {delivery_id[:40]}. It may have been typed wrongly.")
        parcel = _with_facts(services, connection, story)
        candidates = _known_candidates(connection, story) if parcel["choices"].link else []
        left = _lines_left(services, connection, parcel)
        twins = _posted_elsewhere(connection, story)
        now = services.database.now(connection)
    looked_up: list[Candidate] = []
    if text and parcel["choices"].link:
        looked_up = _look_up(services, text, story)
    shown = {candidate.order.id: candidate for candidate in [*looked_up, *candidates]}
    return render(
        "delivery.html",
        parcel=parcel,
        find=text,
        looked_up=looked_up,
        candidates=list(shown.values()),
        line_choices=left.choices,
        rest=left.rest,
        twins=twins,
        rule=rule_in_words,
        at=now,
        sentences=explain_delivery(story),
    )


def _with_facts(services: Services, connection: Connection, story: Story) -> dict[str, Any]:
    """A delivery's story with what a page says besides."""
    body = sent_or_ready(story)
    attempts = list(story["attempt_history"])
    return {
        **story,
        "choices": choices_for(story),
        "steps": timeline.of_delivery(story),
        "lines_by": line_rules(story),
        "carrier_by": carrier_rule(services, story["shipment"]),
        "body": body,
        "curl": post_curl(services.settings.purple_dot_base_url, body) if body else None,
        "changes": changes_between(attempts),
        "entries": audit.entries(connection, subject=story["id"]),
        "remarks": remarks_on(connection, [story["id"]]).get(story["id"], []),
    }


def changes_between(attempts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each attempt what its request has that the one before had not."""
    changes: list[list[str]] = []
    before: Mapping[str, Any] | None = None
    for attempt in attempts:
        sent = attempt["request"]
        is_changed = sent and before and sent != before
        changes.append(differences(before, sent) if is_changed else [])
        before = sent or before
    return changes


def _known_candidates(connection: Connection, story: Story) -> list[Candidate]:
    """The orders that what ShipStation says may name, as we last saw them."""
    clues = story["shipment"]["clues"]
    order_ids = {clue["value"] for clue in clues if clue["kind"] == "order_id"}
    references = {clue["value"] for clue in clues if clue["kind"] == "reference"}
    named = orders.known(
        connection, order_ids=order_ids, references=set(map(normalize_reference, references))
    )
    return [_as_candidate(connection, order, story) for order in named]


def _look_up(services: Services, text: str, story: Story) -> list[Candidate]:
    try:
        named = services.orders_named(text)
    except BridgeError as exc:
        flash(f"Purple Dot could not be asked: {exc}", "bad")
        return []
    with services.database.read() as connection:
        return [_as_candidate(connection, order, story) for order in named]


def _as_candidate(connection: Connection, order: FulfillmentOrder, story: Story) -> Candidate:
    others = deliveries.of_orders(connection, [order.id]).get(order.id, [])
    rest = rest_of(order, [as_earlier(other) for other in others])
    left = {line.id: line.quantity for line in rest}
    items = story["shipment"]["items"]
    after = left_after(order, left, items)
    fits = bool(items) and all(count >= 0 for count in after.values())
    named = [f"{count} × {name}" for name, count in after.items() if count > 0]
    posted = [other for other in others if other.status is DeliveryStatus.DELIVERED]
    named_by = naming_fields(order, story["shipment"]["clues"])
    return Candidate(order, left, fits, ", ".join(named), posted, named_by)


def naming_fields(order: FulfillmentOrder, clues: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields of ShipStation that hold this order's id or reference. Pure."""
    names = {order.id.lower(), normalize_reference(order.reference)}
    fields = [
        clue["field"]
        for clue in clues
        if {clue["value"].lower(), normalize_reference(clue["value"])} & names
    ]
    return list(dict.fromkeys(fields))


def left_after(
    order: FulfillmentOrder, left: Mapping[str, int], items: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """By SKU what would be left once these items are taken; below 0 where they don't fit. Pure."""
    free: dict[str, int] = {}
    for line in order.lines:
        name = line.sku or line.id
        free[name] = free.get(name, 0) + left.get(line.id, 0)
    for item in items:
        name = item["sku"] or item["line_item_id"] or ""
        free[name] = free.get(name, 0) - item["quantity"]
    return free


def _lines_left(services: Services, connection: Connection, parcel: Mapping[str, Any]) -> LinesLeft:
    if not parcel["choices"].choose_lines:
        return LinesLeft()
    with suppress(RefusedError):
        held = find_one(connection, parcel["id"])
        rest = repair.remaining_for(connection, held, carriers=services.carriers)
        return LinesLeft(suggest_lines(rest.lines, held), repair.format_lines(rest))
    return LinesLeft()


def suggest_lines(lines: Sequence[FulfilledLine], delivery: Delivery) -> list[LineChoice]:
    """As many units of each line as the parcel holds of its SKU and as are left of it. Pure."""
    packed: dict[str, int] = {}
    for item in delivery.shipment.items:
        for name in {item.sku, item.line_item_id} - {None}:
            packed[str(name)] = packed.get(str(name), 0) + item.quantity
    choices = []
    for line in lines:
        name = line.id if line.id in packed else line.sku or line.id
        suggested = min(line.quantity, packed.get(name, 0))
        packed[name] = packed.get(name, 0) - suggested
        choices.append(LineChoice(line.id, line.sku, line.quantity, suggested))
    return choices


def _posted_elsewhere(connection: Connection, story: Story) -> Sequence[Mapping[str, Any]]:
    """Other parcels with this number that Purple Dot has."""
    if not story["tracking_number"]:
        return []
    query = Query(tracking=story["tracking_number"], status="delivered", limit=5)
    same = reports.list_deliveries(connection, query)
    return [row for row in same if row["id"] != story["id"]]


def line_rules(story: Story) -> dict[str, str]:
    """By what each line of the order was matched to something in the parcel."""
    named = {item["line_item_id"] for item in story["shipment"]["items"]} - {None}
    packed = {item["sku"] for item in story["shipment"]["items"]} - {None}
    rules = {}
    for line in story["line_items"]:
        rules[line["id"]] = "what was left, by hand"
        if line["id"] in named:
            rules[line["id"]] = "its line id"
        elif line["sku"] in packed:
            rules[line["id"]] = "its SKU"
    return rules


def carrier_rule(services: Services, shipment: Story) -> str:
    """By which row the carrier got its name."""
    given = shipment["carrier_name"] or shipment["carrier_code"]
    if not given:
        return "ShipStation named none"
    row = services.carriers.row(given)
    if row is None:
        return f"“{given}” is not in the carrier table, and goes out as it was written"
    certainty = "" if row["certainty"] == "sure" else f" ({row['certainty']})"
    return f"ShipStation says “{given}”, which shoppers know as {row['company']}{certainty}"


def sent_or_ready(story: Story) -> dict[str, Any] | None:
    """The exact JSON that was sent last, or would be sent; None while its lines aren't known."""
    for attempt in reversed(story["attempt_history"]):
        if attempt["request"]:
            sent: dict[str, Any] = attempt["request"]
            return sent
    if not story["line_items"] or not story["tracking_number"]:
        return None
    lines = tuple(
        FulfilledLine(line["id"], line["quantity"], line["sku"]) for line in story["line_items"]
    )
    tracking = Tracking(story["tracking_number"], story["tracking_company"], story["tracking_url"])
    action = CreateFulfillment(
        story["fulfillment_order_id"] or "",
        story["reference"] or "",
        lines,
        tracking,
        story["notify_customer"],
    )
    return fulfillment_body(action)


def post_curl(base_url: str, body: Mapping[str, Any]) -> Markup:
    """The request as a line for a shell; the token comes from its environment, so nothing here is
    left to be masked."""
    url = shlex.quote(f"{base_url}/fulfillment")
    credential = '-H "X-Purple-Dot-Access-Token: $BRIDGE_PURPLE_DOT_ACCESS_TOKEN"'
    content = '-H "Content-Type: application/json"'
    quoted_body = shlex.quote(masked_text(json.dumps(body)))
    return escape(f"curl -X POST {url} {credential} {content} -d {quoted_body}")


def fetch_curl(story: Story, services: Services) -> Markup | None:
    """What an event points at, as a line for a shell; the key comes from its environment. None for
    a URL that the bridge itself would not fetch: the command would send the key there."""
    url = story["resource_url"]
    if not url:
        return None
    try:
        webhook.check_resource_url(url, configured=services.shipstation_origins)
    except PayloadError:
        return None
    credentials = _V2_CREDENTIALS if "/v2/" in url else _V1_CREDENTIALS
    return escape(f"curl {shlex.quote(masked_text(url))} {credentials}")
