"""The files in payloads/: what ShipStation says about one event, as it says it. Values are
invented, shapes are the real ones."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.domain.events import Record
from bridge.domain.shipments import Shipment
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.payloads import record_of

FOLDER = Path(__file__).parents[1] / "payloads"


@dataclass(frozen=True)
class Payload:
    """`webhook` is the notification's body, `rows` the vendor's rows (kind, row) that were fetched
    for it."""

    event_type: str
    webhook: dict[str, Any]
    rows: list[tuple[str, dict[str, Any]]]

    def records(self) -> list[Record]:
        return [record_of(kind, row) for kind, row in self.rows]

    def translated(self) -> list[Shipment]:
        return EVENT_TYPES[self.event_type].translate(self.records())


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> Payload:
    content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    rows = [(record["kind"], record["row"]) for record in content["records"]]
    return Payload(event_type=name.partition("__")[0], webhook=content["webhook"], rows=rows)
