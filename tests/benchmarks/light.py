"""Light load: five webhooks a second, vendors that take 50 ms: how soon they are acknowledged, and
how soon Purple Dot has them."""

import http.client
import statistics
import time
from pathlib import Path

from sqlalchemy import select

from bridge.domain.events import DeliveryStatus
from bridge.simulator import Simulator
from bridge.simulator.faults import parse_fault
from bridge.store.engine.database import Database
from bridge.store.tables import deliveries
from tests.benchmarks import servers
from tests.benchmarks.figures import Figure
from tests.support.waiting import wait_until

_ROUNDS = 4
_WEBHOOKS = 50
_EVERY = 0.2


def measure(folder: Path) -> list[Figure]:
    acknowledged = Figure("light load: acknowledged, 95th percentile", "ms", "5")
    named = Figure("received to delivered, label that names its order, median", "ms", "165")
    unnamed = Figure("received to delivered, label that names nothing, median", "ms", "215")
    url = f"sqlite:///{folder}/light.db"
    with (
        Simulator() as simulator,
        servers.receiver(simulator, url, folder) as (port, _),
        servers.worker(simulator, url, folder),
    ):
        simulator.faults.append(parse_fault("delay:0.05:*:always"))
        _send(simulator, port, 5, "reference")  # Keys and connections.
        for _ in range(_ROUNDS):
            for style, delivered in (("id", named), ("reference", unnamed)):
                begin = simulator.world.now()
                taken = _send(simulator, port, _WEBHOOKS, style)
                acknowledged.ours.append(statistics.quantiles(taken, n=20)[-1])
                delivered.ours.append(statistics.median(_until_delivered(url, begin)))
    return [acknowledged, named, unnamed]


def _send(simulator: Simulator, port: int, count: int, style: str) -> list[float]:
    """Milliseconds until each was answered; one parcel each. A label repeats the id of an order
    that `style` ties by id, and never its number."""
    world, taken = simulator.world, []
    labels = [
        world.buy_labels(world.add_shipstation_order(world.add_order(), style=style))
        for _ in range(count)
    ]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for label in labels:
        body, headers = simulator.webhook(world.label_created_v2(label))
        begin = time.perf_counter()
        connection.request(
            "POST", f"/webhooks/shipstation/{servers.TOKEN}", body=body, headers=headers
        )
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter() - begin) * 1000)
        if answer.status != 202:
            raise RuntimeError(f"answered {answer.status}")
        time.sleep(max(0.0, _EVERY - (time.perf_counter() - begin)))
    connection.close()
    return taken


def _until_delivered(url: str, since: object) -> list[float]:
    """Milliseconds from the webhook's arrival until Purple Dot's yes was recorded."""
    database = Database(url)
    chosen = select(deliveries.c.received_at, deliveries.c.delivered_at).where(
        deliveries.c.status == DeliveryStatus.DELIVERED, deliveries.c.received_at >= since
    )

    def rows() -> list[float]:
        with database.read() as connection:
            return [
                (row.delivered_at - row.received_at).total_seconds() * 1000
                for row in connection.execute(chosen)
            ]

    wait_until(lambda: len(rows()) >= _WEBHOOKS, seconds=60, what="all to be delivered")
    told = rows()
    database.close()
    return told
