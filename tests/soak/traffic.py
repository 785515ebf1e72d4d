"""What a warehouse ships and reports, at a bounded rate, on every API; what is not answered 202 is
sent again, as ShipStation does."""

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

from bridge.simulator import Label
from tests.support.stack import Json, Stack

_AGAIN_AFTER, _GIVE_UP_AFTER = 0.5, 180.0
_LINES = [("ALDER-TEE-S", 2), ("ALDER-CAP", 1)]


class Traffic:
    """`sent` are the tracking numbers of pre-orders whose webhook was accepted, each with its
    events; `replaced` those of labels that another took the place of: told, if they were told
    before; `foreign` those that must stay here; `refused` counts what had to be sent again,
    `unheard` what was never accepted."""

    def __init__(self, stack: Stack, ports: tuple[int, ...], chance: Random) -> None:
        self.stack, self.ports, self.chance = stack, ports, chance
        self.sent: dict[str, set[str]] = {}
        self.foreign: set[str] = set()
        self.replaced: dict[str, str] = {}
        self.webhooks = self.refused = self.unheard = 0
        self._webhooks: list[tuple[Json, list[str]]] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="sender")

    def step(self) -> None:
        """One thing happens in the warehouse."""
        happening = self.chance.choices(
            [
                self._labels,
                self._marked,
                self._inline,
                self._replaced,
                self._foreign,
                self._once_more,
            ],
            weights=[55, 10, 10, 6, 12, 8],
        )[0]
        happening()

    def finish(self) -> None:
        """Until everything is accepted."""
        self._pool.shutdown(wait=True)

    def _labels(self) -> None:
        """A whole order, a part of one, or one in two parcels; told by one API or by both."""
        world = self.stack.world
        whole = world.add_shipstation_order(
            world.add_order(lines=_LINES), style=self.chance.choice(["reference", "id"])
        )
        kind = self.chance.choice(["whole", "whole", "part", "split"])
        if kind == "split":
            shipments = world.split(whole, [[line] for line in _LINES])
        else:
            shipments = (
                [whole]
                if kind == "whole"
                else [world.add_shipstation_order(world.add_order(lines=_LINES), _LINES[:1])]
            )
        labels = world.buy_labels(shipments, batch=self.chance.random() < 0.5)
        together = list({label.batch: label for label in labels}.values())
        for family in self.chance.sample(
            ["label_created_v2", "ship_notify", "item_ship_notify"], self.chance.randint(1, 2)
        ):
            for label in together:
                self._send_later(
                    getattr(world, family)(label),
                    [str(one.tracking_number) for one in labels if one.batch == label.batch],
                )

    def _marked(self) -> None:
        world = self.stack.world
        mark = world.mark_shipped(
            world.add_shipstation_order(world.add_order()),
            "FedEx",
            f"7{world.next_number('marked'):011d}",
        )
        family = self.chance.choice(["fulfillment_shipped_v2", "v1_fulfillment_shipped"])
        self._send_later(getattr(world, family)(mark), [str(mark.tracking_number)])

    def _inline(self) -> None:
        world = self.stack.world
        number = f"1ZSOAK{world.next_number('inline'):012d}"
        row = world.inline_row(world.add_shipstation_order(world.add_order()), number)
        self._send_later(world.inline_fulfillments([row]), [number])

    def _replaced(self) -> None:
        """A label that is void before or after it was reported, and its successor by either API."""
        world = self.stack.world
        shipment = world.add_shipstation_order(world.add_order(lines=_LINES), style="id")
        [label] = world.buy_labels(shipment)
        families = [world.label_created_v2, world.ship_notify]
        if self.chance.random() < 0.5:
            self._send_later(self.chance.choice(families)(label), [])
        successor = world.replace_label(label)
        self.replaced[str(label.tracking_number)] = str(successor.tracking_number)
        self._send_later(self.chance.choice(families)(successor), [successor.tracking_numbers[0]])

    def _foreign(self) -> None:
        world = self.stack.world
        labels: list[Label] = world.buy_labels(
            world.add_shipstation_order(str(100_000 + world.next_number("shop")))
        )
        self.foreign |= {str(label.tracking_number) for label in labels}
        self._send_later(
            self.chance.choice([world.label_created_v2, world.ship_notify])(labels), []
        )

    def _once_more(self) -> None:
        if self._webhooks:
            self._send_later(*self.chance.choice(self._webhooks))

    def _send_later(self, body: Json, numbers: list[str]) -> None:
        self.webhooks += 1
        self._webhooks.append((body, numbers))
        self._pool.submit(self._send, body, numbers, self.chance.randrange(len(self.ports)))

    def _send(self, body: Json, numbers: list[str], first: int) -> None:
        until, tries = time.monotonic() + _GIVE_UP_AFTER, 0
        while time.monotonic() < until:
            event_id = self._post(body, self.ports[(first + tries) % len(self.ports)])
            if event_id:
                with self._lock:
                    for number in numbers:
                        self.sent.setdefault(number, set()).add(event_id)
                return
            tries += 1
            time.sleep(_AGAIN_AFTER)
            with self._lock:
                self.refused += 1
        self.unheard += 1

    def _post(self, body: Json, port: int) -> str | None:
        try:
            answer = self.stack.send(body, port=port)
        except (OSError, http.client.HTTPException):
            return None
        return answer.event_id if answer.status == 202 else None
