"""ShipStation V2's label rows: a tracking number for each package, and neither items nor the order's number."""

from bridge.simulator.carriers import CARRIERS, Carrier
from bridge.simulator.model import Json, Label
from bridge.simulator.v2_shapes import BOX, NO_MONEY, NO_REFERENCES, SHOPPER, ounces
from bridge.simulator.vendor_time import v2_instant


def label_row(label: Label) -> Json:
    """No items and no shipment_number; `external_shipment_id` is an automatic value where the shipment itself has none."""
    carrier = CARRIERS[label.carrier]
    return {
        "label_id": label.label_id,
        "status": label.status,
        "shipment_id": label.order.shipment_id,
        "external_shipment_id": label.order.external_shipment_id or f"SEAuto-Sim{label.order.number:012d}",
        "external_order_id": None,
        # A calendar date, written as midnight Pacific.
        "ship_date": f"{label.ship_date}T07:00:00Z",
        "created_at": v2_instant(label.created_at),
        "shipment_cost": {"currency": "usd", "amount": 9.17},
        "insurance_cost": NO_MONEY,
        "requested_comparison_amount": None,
        "rate_details": [],
        "tracking_number": label.tracking_number,
        "is_return_label": label.is_return,
        "rma_number": f"RMA-{label.number}" if label.is_return else None,
        "is_international": False,
        "batch_id": label.batch_id,
        "carrier_id": carrier.carrier_id,
        "service_code": carrier.service,
        "package_code": "package",
        "voided": label.voided_at is not None,
        "voided_at": v2_instant(label.voided_at),
        "void_type": None,
        "refund_details": None,
        "label_format": "pdf",
        "display_scheme": "label",
        "label_layout": "4x6",
        "trackable": True,
        "label_image_id": None,
        "carrier_code": carrier.code,
        "carrier_weight": {"value": 1.1, "unit": "pound"},
        "confirmation": "none",
        "tracking_status": "in_transit" if label.tracking_numbers else "unknown",
        "label_download": _download(label, "label") | {"href": _download(label, "label")["pdf"]},
        "form_download": None,
        "qr_code_download": None,
        "insurance_claim": None,
        "paperless_download": None,
        "packages": [_label_package(label, index) for index in range(label.packages)],
        "charge_event": "carrier_default",
        "alternative_identifiers": [],
        "shipping_rule_id": None,
        "tracking_url": _tracking_url(carrier, label.tracking_number),
        "pickup_windows": [],
        "ship_to": {"geolocation": [], **SHOPPER},
    }


def _label_package(label: Label, index: int) -> Json:
    """`package_id` is an integer, unlike every other id here."""
    return {
        "package_id": 151300000 + label.number * 100 + index,
        "package_code": "package",
        "weight": ounces(9.0),
        "dimensions": BOX,
        "insured_value": NO_MONEY,
        "tracking_number": label.tracking_numbers[index] if label.tracking_numbers else None,
        "label_download": _download(label, f"package-{index + 1}"),
        "qr_code_download": None,
        "paperless_download": None,
        "label_messages": NO_REFERENCES,
        "external_package_id": None,
        "content_description": None,
        "sequence": index + 1,
        "alternative_identifiers": [],
        "has_label_documents": False,
        "has_form_documents": False,
        "has_qr_code_documents": False,
        "has_paperless_label_documents": False,
    }


def _download(label: Label, name: str) -> Json:
    return {kind: f"https://api.shipstation.com/v2/downloads/0/{label.label_id}/{name}.{kind}" for kind in ("pdf", "png", "zpl")}


def _tracking_url(carrier: Carrier, tracking_number: str | None) -> str | None:
    return carrier.tracking_url.format(tracking_number) if tracking_number else None
