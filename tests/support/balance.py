"""Sent against posted: the sum that every fault test ends with. Nothing lost, nothing twice, and
who waits has a reason."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import and_, or_, select

from bridge.domain.events import CLAIMABLE, EXCEPTIONS, EventStatus
from bridge.simulator import World
from bridge.store.engine.database import Database
from bridge.store.tables import deliveries, events


@dataclass(frozen=True)
class Balance:
    """Tracking numbers: `sent` to us, `posted` to Purple Dot and accepted there, and `excepted`,
    each with its reason; and ids of rows that are `stuck`. `over` are lines of which more was
    posted than ordered. A number may be posted and excepted: the answer was lost, and only a person
    can know."""

    sent: frozenset[str]
    posted: Counter[str]
    excepted: dict[str, str]
    stuck: list[str]
    over: set[str]

    @property
    def lost(self) -> set[str]:
        return set(self.sent - self.posted.keys() - self.excepted.keys())

    @property
    def twice(self) -> set[str]:
        return {number for number, count in self.posted.items() if count > 1}

    def faults(self, *, may_be: Collection[str] = ()) -> dict[str, object]:
        """What is wrong, by its name: empty where each parcel is once at Purple Dot, or an
        exception for one of the reasons that it `may_be`."""
        unexpected = {number: why for number, why in self.excepted.items() if why not in may_be}
        faults: dict[str, object] = {
            "lost": self.lost,
            "twice": self.twice,
            "stuck": self.stuck,
            "over": self.over,
            "excepted": unexpected,
        }
        return {name: fault for name, fault in faults.items() if fault}


def balance(world: World, database: Database, sent: Collection[str]) -> Balance:
    posted = Counter(body["fulfillment"]["tracking_info"]["number"] for body in world.fulfillments)
    open_rows = select(deliveries.c.tracking_number, deliveries.c.reason).where(
        deliveries.c.status.in_(list(EXCEPTIONS))
    )
    with database.read() as connection:
        excepted = {
            row.tracking_number: row.reason for row in connection.execute(open_rows) if row.reason
        }
    mine = frozenset(sent)
    return Balance(
        mine,
        Counter({number: count for number, count in posted.items() if number in mine}),
        {number: why for number, why in excepted.items() if number in mine},
        stuck_rows(database),
        _over(world),
    )


def _over(world: World) -> set[str]:
    units: Counter[str] = Counter()
    for body in world.fulfillments:
        units.update({line["id"]: line["quantity"] for line in body["fulfillment"]["line_items"]})
    return {
        line.id
        for order in world.known_orders
        for line in order.lines
        if units[line.id] > line.quantity
    }


def stuck_rows(database: Database) -> list[str]:
    """Rows that nobody would ever move again, or that someone still holds though nothing is left to
    do."""
    stuck: list[str] = []
    for table, works in ((events, [EventStatus.RECEIVED]), (deliveries, list(CLAIMABLE))):
        is_work = table.c.status.in_(works)
        is_held = or_(table.c.due_at.is_not(None), table.c.owner.is_not(None))
        with database.read() as connection:
            wrong = select(table.c.id).where(
                or_(and_(is_work, table.c.due_at.is_(None)), and_(~is_work, is_held))
            )
            stuck += connection.execute(wrong).scalars()
    return stuck
