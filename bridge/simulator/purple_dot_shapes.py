"""Purple Dot's rows. Source: https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment-orders."""

from datetime import timedelta

from bridge.simulator.model import AnswerStyle, Json, PurpleDotLine, PurpleDotOrder
from bridge.simulator.vendor_time import v2_instant

_PRICE = 48

_ADDRESS: Json = {
    "first_name": "Marta",
    "last_name": "Solberg",
    "address1": "17 Quarry Road",
    "address2": "Unit 6",
    "city": "Portland",
    "postal_code": "97209",
    "province_code": "OR",
    "country": "United States",
    "country_code": "US",
    "phone": "+15035550117",
}


_METAS: dict[str, Json] = {"success": {"meta": {"success": True}}, "result": {"meta": {"result": "success"}}, "none": {}}


def meta(style: AnswerStyle) -> Json:
    return _METAS[style.meta]


def refusal(code: str, message: str) -> Json:
    """The envelope of a no. Its shape is not documented; the upper-case codes follow the refund page."""
    return {"meta": {"success": False, "error": {"code": code, "message": message}}, "data": None}


def order_row(order: PurpleDotOrder, style: AnswerStyle) -> Json:
    units = sum(line.quantity for line in order.lines)
    row: Json = {
        "id": order.id,
        "status": order.status,
        "created_at": v2_instant(order.created_at),
        "purchased_at": v2_instant(order.created_at - timedelta(days=90)),
        "reference": order.reference,
        "currency": "USD",
        "customer": {
            "email": "marta.solberg@example.com",
            "external_id": "6811000000042",
            "first_name": "Marta",
            "last_name": "Solberg",
            "tags": ["early-bird"],
            "default_address": _ADDRESS,
        },
        "tax_included": False,
        "total_tax": "0.00",
        "total_discounts": "0.00",
        "subtotal_price": _money(units),
        "total_price": _money(units),
        "line_items": [_line(line) for line in order.lines],
        "shipping_address": _ADDRESS,
    }
    if not style.tells_status:
        del row["status"]
    return row


def _line(line: PurpleDotLine) -> Json:
    """Nothing here tells how much was fulfilled already: Purple Dot documents no such field."""
    return {
        "id": line.id,
        "price": _money(1),
        "total": _money(line.quantity),
        "taxable": True,
        "tax_lines": [{"price": "0.00", "rate": 0.0, "title": "OR STATE TAX"}],
        "total_discount": "0.00",
        "quantity": line.quantity,
        "product_id": "8230000000017",
        "variant_id": "44510000000017",
        "sku": line.sku,
        "name": line.name,
    }


def _money(units: int) -> str:
    return f"{units * _PRICE}.00"
