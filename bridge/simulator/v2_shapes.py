"""ShipStation V2's rows, with the keys that live answers hold and the published spec lacks. Source: https://docs.shipstation.com/openapi."""

from typing import Literal, TypeAlias

from bridge.simulator.carriers import CARRIERS, Carrier
from bridge.simulator.model import Item, Json, MarkedShipped, ShipStationOrder, Subscription
from bridge.simulator.vendor_time import v2_instant

ErrorKind: TypeAlias = Literal["validation", "business_rules", "security", "system"]

_PRICE = 48.0
NO_MONEY: Json = {"currency": "usd", "amount": 0.0}
BOX: Json = {"unit": "inch", "length": 11.0, "width": 8.0, "height": 3.0}
NO_REFERENCES: Json = {"reference1": None, "reference2": None, "reference3": None}

SHOPPER: Json = {
    "instructions": None,
    "name": "Marta Solberg",
    "phone": "+1 503-555-0117",
    "email": "marta.solberg@example.com",
    "company_name": None,
    "address_line1": "17 Quarry Road",
    "address_line2": "Unit 6",
    "address_line3": None,
    "city_locality": "PORTLAND",
    "state_province": "OR",
    "postal_code": "97209-1180",
    "country_code": "US",
    "address_residential_indicator": "yes",
}
_WAREHOUSE: Json = {
    "instructions": None,
    "name": "Alder Supply Dock 2",
    "phone": "+1 208-555-0164",
    "email": None,
    "company_name": "Alder Supply",
    "address_line1": "940 Freight Way",
    "address_line2": "",
    "address_line3": None,
    "city_locality": "BOISE",
    "state_province": "ID",
    "postal_code": "83706",
    "country_code": "US",
    "address_residential_indicator": "no",
}
_BLANK_OPTIONS = (
    "bill_to_account", "bill_to_country_code", "bill_to_party", "bill_to_postal_code", "bill_to_name", "bill_to_address_line1",
    "dry_ice_weight", "fedex_freight", "ancillary_endorsements_option", "freight_class", "collect_on_delivery", "return_pickup_attempts",
)  # fmt: skip
_FALSE_OPTIONS = (
    "contains_alcohol", "delivered_duty_paid", "non_machinable", "saturday_delivery", "dry_ice", "third_party_consignee",
    "guaranteed_duties_and_taxes", "prepaid_duties_taxes", "additional_handling", "own_document_upload", "limited_quantity",
    "event_notification", "import_services", "override_holiday", "fragile", "delivery_as_addressed", "return_after_first_attempt",
)  # fmt: skip


def shipment_row(order: ShipStationOrder) -> Json:
    """The V2 shipment, which is the order. It has a carrier_id and never a carrier_code."""
    goods = [item for item in order.items if not item.adjustment]
    paid = 0.0 if order.parent else _PRICE * sum(item.quantity for item in goods)
    weight = ounces(9.0 * sum(item.quantity for item in goods))
    return {
        "shipment_id": order.shipment_id,
        "carrier_id": CARRIERS["ups"].carrier_id,
        "service_code": "ups_ground",
        "requested_shipment_service": None,
        "external_shipment_id": order.external_shipment_id,
        "shipment_number": order.shipment_number,
        "hold_until_date": None,
        "ship_date": f"{order.created_at.date()}T00:00:00Z",
        "ship_datetime": None,
        "ship_by_date": None,
        "deliver_by_date": None,
        "created_at": v2_instant(order.created_at),
        "modified_at": v2_instant(order.modified_at),
        "shipment_status": order.status,
        "ship_to": {"geolocation": None, **SHOPPER},
        "ship_from": {"geolocation": None, **_WAREHOUSE},
        "warehouse_id": "se-660021",
        "return_to": _WAREHOUSE,
        "is_return": False,
        "confirmation": "none",
        "customs": None,
        "external_order_id": None,
        "order_source_code": None,
        "advanced_options": _advanced_options(order),
        "comparison_rate_type": None,
        "retail_rate": None,
        "shipping_rule_id": None,
        "insurance_provider": "none",
        "tags": [],
        "store_id": f"se-{order.store}",
        "packages": [_order_package(order, weight)],
        "total_weight": weight,
        "items": [_item(item) for item in goods],
        "notes_from_buyer": None,
        "internal_notes": None,
        "notes_for_gift": None,
        "is_gift": False,
        "assigned_user": None,
        # Of a split order only the first part carries the money.
        "amount_paid": {"currency": "usd", "amount": paid},
        "shipping_paid": NO_MONEY,
        "tax_paid": NO_MONEY,
        "zone": 4,
        "dangerous_goods_declaration": None,
        "sender_info": None,
        "notes_to_buyer": None,
    }


def _advanced_options(order: ShipStationOrder) -> Json:
    own = {f"custom_field{number}": text for number, text in enumerate(order.custom_fields, start=1)}
    return dict.fromkeys(_BLANK_OPTIONS) | dict.fromkeys(_FALSE_OPTIONS, False) | own


def _order_package(order: ShipStationOrder, weight: Json) -> Json:
    return {
        "shipment_package_id": f"se-{470000000 + order.number}",
        "package_id": "se-3",
        "package_code": "package",
        "package_name": "Package",
        "weight": weight,
        "dimensions": BOX,
        "insured_value": NO_MONEY,
        "label_messages": NO_REFERENCES,
        "external_package_id": None,
        "content_description": None,
        "products": None,
        "dangerous_goods_package_info": None,
    }


def _item(item: Item) -> Json:
    return {
        "sales_order_id": None,
        "sales_order_item_id": None,
        "quantity": item.quantity,
        "name": item.name or f"Item {item.sku}",
        "sku": item.sku,
        "bundle_sku": None,
        "external_order_id": item.order_id,
        "external_order_item_id": item.line_id,
        "asin": None,
        "order_source_code": None,
        "item_id": str(1530880000000 + item.number),
        "allocation_status": None,
        "image_url": None,
        "weight": ounces(9.0),
        "unit_price": _PRICE,
        "tax_amount": 0.0,
        "shipping_amount": 0.0,
        "inventory_location": None,
        "options": [],
        "product_id": "7911044",
        "fullfilment_sku": None,
        "upc": None,
    }


def fulfillment_row(shipped: MarkedShipped) -> Json:
    """A carrier's name and no carrier_code; no items, no tracking_url, no external_shipment_id."""
    return {
        "fulfillment_id": shipped.fulfillment_id,
        "shipment_id": shipped.order.shipment_id,
        "shipment_number": shipped.order.shipment_number,
        "user_id": "7d1c0a52-41b0-4c56-9d0e-5b7f3a1e9c04",
        "tracking_number": shipped.tracking_number,
        "created_at": v2_instant(shipped.created_at),
        "ship_date": f"{shipped.ship_date}T07:00:00Z",
        "voided_at": v2_instant(shipped.voided_at),
        "delivered_at": None,
        "fulfillment_carrier_friendly_name": shipped.carrier_name,
        "fulfillment_provider_id": "se-19021",
        "fulfillment_provider_friendly_name": shipped.provider_code.title(),
        "fulfillment_provider_code": shipped.provider_code,
        "fulfillment_service_code": "ext",
        "fulfillment_fee": NO_MONEY,
        "void_requested": False,
        "voided": shipped.voided_at is not None,
        "order_source_notified": False,
        "notification_error_message": shipped.rejection,
        "ship_to": SHOPPER,
    }


def carrier_row(carrier: Carrier) -> Json:
    return {
        "carrier_id": carrier.carrier_id,
        "carrier_code": carrier.code,
        "account_number": f"simulated-{carrier.code}",
        "requires_funded_amount": False,
        "balance": 0.0,
        "nickname": f"Alder {carrier.friendly_name}",
        "friendly_name": carrier.friendly_name,
        "primary": carrier.code == "ups",
        "has_multi_package_supporting_services": True,
        "supports_label_messages": True,
        "disabled_by_billing_plan": False,
        "services": [],
        "packages": [],
        "options": [],
    }


def subscription_row(subscription: Subscription) -> Json:
    """`store_id` is an integer here, and absent when none was given."""
    row: Json = {
        "webhook_id": f"se-{subscription.number}",
        "url": subscription.url,
        "event": subscription.event,
        "headers": subscription.headers,
        "name": subscription.name,
    }
    return row if subscription.store is None else row | {"store_id": subscription.store}


def error_body(request_id: str, code: str, message: str, *, kind: ErrorKind, field: Json | None = None) -> Json:
    """https://docs.shipstation.com/errors"""
    error: Json = {"error_source": "ShipStation", "error_type": kind, "error_code": code, "message": message}
    return {"request_id": request_id, "errors": [error | (field or {})]}


def ounces(value: float) -> Json:
    return {"value": value, "unit": "ounce"}
