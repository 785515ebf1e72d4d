"""What the pages need of the bridge; the wiring hands it in."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from bridge.domain.orders import FulfillmentOrder
from bridge.pipeline.process_event import EventJob
from bridge.store.engine.database import Database
from bridge.translate.carriers import Carriers


@dataclass(frozen=True, slots=True)
class Desk:
    """`operator` and `viewer` are their passwords; `health()` is what /readyz tells; `rates` are
    calls a minute by system; `orders_named(text)` asks Purple Dot for the orders with this id or
    reference; `purple_dot_url` is where fulfillments go; `event_job` is what a worker would do with
    an event, for a dry run; `origins` where a resource_url may point."""

    database: Database
    operator: SecretStr
    viewer: SecretStr | None
    secret_key: SecretStr | None
    health: Callable[[], Mapping[str, Any]]
    rates: Mapping[str, int]
    orders_named: Callable[[str], Sequence[FulfillmentOrder]]
    carriers: Carriers
    purple_dot_url: str
    event_job: EventJob
    origins: Collection[str]
