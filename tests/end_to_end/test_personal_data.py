"""Names, addresses, e-mails and phones pass the bridge by: a marked person is fed through every
path, and stands in no row afterwards."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bridge.simulator import Simulator
from bridge.simulator.shapes import SHAPES
from bridge.store import tables
from tests.support.stack import TOKEN, Json, Stack

PERSON = {
    "name": "Mx Ada Quillmark",
    "company_name": "Quillmark Holdings",
    "phone": "+44 20 7946 6666",
    "email": "ada.quillmark@example.com",
    "address_line1": "66 Quillmark Row",
    "postal_code": "QM66 6QM",
    "Ada Quillmark": "a name as a key",
    "note": "Happy birthday, Ada Quillmark!",
}
# Marks long enough that no timestamp and no random id can hold one by chance.
MARKS = re.compile(rb"quillmark|7946\W*6666|QM66\W*6QM", re.IGNORECASE)
NO_ROWS = {"carriers", "routes", "scenarios"}


@pytest.fixture
def stack(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Both vendors tell of the person in each row, each error and each answer of theirs."""
    for name, shape in SHAPES.items():
        if name not in NO_ROWS and isinstance(shape, dict):
            monkeypatch.setitem(SHAPES, name, about_the_person(shape))
    with Simulator() as simulator, Stack(simulator, database_url, tmp_path) as stack:
        stack.start_receiver(workers=1)
        stack.start_worker()
        yield stack


def about_the_person(node: Any) -> Any:
    """The same JSON, in which every object tells of the person too, and every custom field is a
    note about them."""
    if isinstance(node, list):
        return [about_the_person(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    notes = {name: PERSON["note"] for name in node if re.fullmatch(r"custom_?[fF]ield[23]", name)}
    words = (
        {"message": f"{node['message']} (order of {PERSON['email']})"}
        if isinstance(node.get("message"), str)
        else {}
    )
    return (
        {name: about_the_person(inner) for name, inner in node.items()}
        | notes
        | words
        | {"ship_to": PERSON}
    )


def everything_stored(stack: Stack) -> bytes:
    """The database as bytes: the files of SQLite, all rows of PostgreSQL."""
    if stack.database.is_sqlite:
        return b"".join(path.read_bytes() for path in stack.folder.glob("bridge.db*"))
    with stack.database.read() as connection:
        cells = [
            cell
            for table in tables.metadata.sorted_tables
            for row in connection.execute(select(table))
            for cell in row
        ]
    return b"\n".join(
        bytes(cell) if isinstance(cell, bytes | memoryview) else repr(cell).encode()
        for cell in cells
    )


def test_person_fed_through_every_path_is_stored_nowhere(stack: Stack) -> None:
    world = stack.world
    labeled, marked, inline, refused = (
        world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)]) for _ in range(4)
    )
    labels = world.buy_labels(world.add_shipstation_order(labeled))
    told_inline = world.inline_row(world.add_shipstation_order(inline), "1ZB7X0410366666666")
    bodies: list[Json] = [
        world.label_created_v2(labels),
        world.ship_notify(labels),
        world.fulfillment_shipped_v2(world.mark_shipped(world.add_shipstation_order(marked))),
        world.fulfillment_rejected_v2(world.mark_shipped(world.add_shipstation_order(refused))),
        world.inline_fulfillments([told_inline]),
        {
            "resource_type": "TRACK_EVENT_V2",
            "resource_url": "https://api.shipstation.com/v2/tracking",
            "data": {"signer": PERSON["name"]},
        },
    ]
    stack.simulator.inject("purple_dot.create_fulfillment", "status:422", 1)
    stack.simulator.inject("shipstation.*", "status:500", 2)
    stack.simulator.inject("purple_dot.orders_by_reference", "status:404", 1)

    statuses = [stack.send(about_the_person(body)).status for body in bodies]
    rejected = [
        json.dumps({"order": PERSON}),
        f"name={PERSON['name']}",
        json.dumps([PERSON]),
        json.dumps(PERSON["name"]),
    ]
    statuses += [
        stack.post(raw.encode(), {"X-Customer": PERSON["email"], "Cookie": PERSON["name"]}).status
        for raw in rejected
    ]
    stack.settle()

    assert statuses == [202] * 6 + [400] * 4
    assert len(world.fulfillments) >= 2
    stored = everything_stored(stack)
    assert [
        stored[max(0, found.start() - 80) : found.end() + 40] for found in MARKS.finditer(stored)
    ] == []
    assert MARKS.findall("".join(process.output() for process in stack.processes).encode()) == []
    assert TOKEN.encode() not in stored
