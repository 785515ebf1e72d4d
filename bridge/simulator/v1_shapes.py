"""ShipStation V1's rows: camelCase, integer ids, US Pacific time without a zone. Source: https://www.shipstation.com/docs/api/."""

from datetime import datetime

from bridge.simulator.carriers import CARRIERS, Carrier
from bridge.simulator.model import Item, Json, Label, MarkedShipped, ShipStationOrder, Subscription
from bridge.simulator.vendor_time import v1_instant

_PRICE = 48.0
_USER = "2b90c6f1-0000-4b7e-a1d2-c64f0a7718aa"
_EMAIL = "marta.solberg@example.com"
_BOX: Json = {"units": "inches", "length": 11.0, "width": 8.0, "height": 3.0}
_UNINSURED: Json = {"provider": None, "insureShipment": False, "insuredValue": 0.0}
_BILL_TO: Json = {"billToParty": None, "billToAccount": None, "billToPostalCode": None, "billToCountryCode": None}
_SHOPPER: Json = {
    "name": "Marta Solberg",
    "company": None,
    "street1": "17 Quarry Road",
    "street2": "Unit 6",
    "street3": None,
    "city": "PORTLAND",
    "state": "OR",
    "postalCode": "97209-1180",
    "country": "US",
    "phone": "5035550117",
    "residential": None,
    "addressVerified": None,
}
_STATUSES = {"label_purchased": "shipped", "cancelled": "cancelled"}


def shipment_row(label: Label, *, with_items: bool) -> Json:
    """What V1 calls a shipment is a bought label. The custom fields are on the order alone."""
    order = label.order
    carrier = CARRIERS[label.carrier]
    items = order.items if label.items is None else label.items
    return {
        "shipmentId": label.v1_shipment_id,
        "orderId": order.v1_order_id,
        "orderKey": order.order_key,
        "userId": _USER,
        "customerEmail": _EMAIL,
        "orderNumber": order.shipment_number,
        "createDate": v1_instant(label.created_at),
        "shipDate": str(label.ship_date),
        "shipmentCost": 9.17,
        "insuranceCost": 0.0,
        "trackingNumber": label.tracking_number,
        "isReturnLabel": label.is_return,
        "batchNumber": None,
        "carrierCode": carrier.v1_code,
        "serviceCode": carrier.service,
        "packageCode": "package",
        "confirmation": None,
        "warehouseId": 660021,
        "voided": label.voided_at is not None,
        "voidDate": v1_instant(label.voided_at),
        "marketplaceNotified": True,
        "notifyErrorMessage": None,
        "shipTo": _SHOPPER,
        "weight": _ounces(18.0),
        "dimensions": _BOX,
        "insuranceOptions": _UNINSURED,
        "advancedOptions": _BILL_TO | {"storeId": order.store},
        "shipmentItems": [_item(item, made_at=order.created_at) for item in items] if with_items else None,
        "labelData": None,
        "formData": None,
    }


def fulfillment_row(shipped: MarkedShipped) -> Json:
    """No items and no orderKey: those are on the order."""
    return {
        "fulfillmentId": shipped.v1_fulfillment_id,
        "orderId": shipped.order.v1_order_id,
        "orderNumber": shipped.order.shipment_number,
        "userId": _USER,
        "customerEmail": _EMAIL,
        "trackingNumber": shipped.tracking_number,
        "createDate": v1_instant(shipped.created_at),
        "shipDate": f"{shipped.ship_date}T00:00:00.0000000",
        "voidDate": v1_instant(shipped.voided_at),
        "deliveryDate": None,
        "carrierCode": shipped.carrier_name,
        "sellerFillProviderId": None,
        "sellerFillProviderName": None,
        "fulfillmentProviderCode": "Manual" if shipped.provider_code == "external" else shipped.provider_code,
        "fulfillmentServiceCode": None,
        "fulfillmentFee": 0.0,
        "voidRequested": False,
        "voided": shipped.voided_at is not None,
        "marketplaceNotified": True,
        "notifyErrorMessage": shipped.rejection,
        "shipTo": _SHOPPER,
    }


def order_row(order: ShipStationOrder, *, marked_shipped: bool) -> Json:
    """https://www.shipstation.com/docs/api/models/order/"""
    total = _PRICE * sum(item.quantity for item in order.items if not item.adjustment)
    return {
        "orderId": order.v1_order_id,
        "orderNumber": order.shipment_number,
        "orderKey": order.order_key,
        "orderDate": v1_instant(order.created_at),
        "createDate": v1_instant(order.created_at),
        "modifyDate": v1_instant(order.modified_at),
        "paymentDate": v1_instant(order.created_at),
        "shipByDate": None,
        "orderStatus": "shipped" if marked_shipped else _STATUSES.get(order.status, "awaiting_shipment"),
        "customerId": None,
        "customerUsername": None,
        "customerEmail": _EMAIL,
        "billTo": dict.fromkeys(_SHOPPER) | {"name": "Marta Solberg"},
        "shipTo": _SHOPPER,
        "items": [_item(item, made_at=order.created_at) for item in order.items],
        "orderTotal": total,
        "amountPaid": total,
        "taxAmount": 0.0,
        "shippingAmount": 0.0,
        "customerNotes": None,
        "internalNotes": None,
        "gift": False,
        "giftMessage": None,
        "paymentMethod": None,
        "requestedShippingService": None,
        "carrierCode": None,
        "serviceCode": None,
        "packageCode": None,
        "confirmation": "none",
        "shipDate": None,
        "holdUntilDate": None,
        "weight": _ounces(18.0),
        "dimensions": None,
        "insuranceOptions": _UNINSURED,
        "internationalOptions": {"contents": None, "customsItems": None, "nonDelivery": None},
        "advancedOptions": _advanced_options(order),
        "tagIds": None,
        "userId": None,
        "externallyFulfilled": False,
        "externallyFulfilledBy": None,
        "labelMessages": None,
    }


def _advanced_options(order: ShipStationOrder) -> Json:
    own: Json = {f"customField{number}": text for number, text in enumerate(order.custom_fields, start=1)}
    flags = dict.fromkeys(("nonMachinable", "saturdayDelivery", "containsAlcohol"), False)
    split: Json = {
        "mergedOrSplit": order.is_split,
        "mergedIds": [],
        "parentId": order.parent.v1_order_id if order.parent else None,
    }
    return {"warehouseId": 660021} | flags | split | {"storeId": order.store} | own | {"source": None} | _BILL_TO


def _item(item: Item, *, made_at: datetime) -> Json:
    return {
        "orderItemId": 912000000 + item.number,
        "lineItemKey": item.line_id,
        "sku": item.sku,
        "name": item.name or f"Item {item.sku}",
        "imageUrl": None,
        "weight": _ounces(9.0),
        "quantity": item.quantity,
        "unitPrice": -5.0 if item.adjustment else _PRICE,
        "taxAmount": None,
        "shippingAmount": None,
        "warehouseLocation": None,
        "options": None,
        "productId": None if item.adjustment else 7911044,
        "fulfillmentSku": None,
        "adjustment": item.adjustment,
        "upc": None,
        "createDate": v1_instant(made_at),
        "modifyDate": v1_instant(made_at),
    }


def carrier_row(carrier: Carrier) -> Json:
    return {
        "name": carrier.friendly_name,
        "code": carrier.v1_code,
        "accountNumber": f"simulated-{carrier.code}",
        "requiresFundedAccount": False,
        "balance": 0.0,
        "nickname": f"Alder {carrier.friendly_name}",
        "shippingProviderId": int(carrier.carrier_id.removeprefix("se-")),
        "primary": carrier.code == "ups",
    }


def subscription_row(subscription: Subscription) -> Json:
    return {
        "IsLabelAPIHook": False,
        "WebHookID": subscription.number,
        "SellerID": 310455,
        "StoreID": subscription.store,
        "HookType": subscription.event,
        "MessageFormat": "Json",
        "Url": subscription.url,
        "Name": subscription.name,
        "BulkCopyBatchID": None,
        "BulkCopyRecordID": None,
        "Active": True,
        "WebhookLogs": [],
        "Seller": None,
        "Store": None,
    }


def _ounces(value: float) -> Json:
    return {"value": value, "units": "ounces", "WeightUnits": 1}
