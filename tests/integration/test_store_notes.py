"""One row a name; the newest stands, on both databases."""

from bridge.store import notes
from bridge.store.engine.database import Database
from tests.support.fakes import Clock


def test_newest_note_of_a_name_stands_until_it_is_dropped(own_database: Database) -> None:
    clock = Clock()
    with own_database.begin() as connection:
        notes.put(connection, "a", {"problems": ["one"]}, now=clock.now)
        notes.put(connection, "b", [], now=clock.now)
        notes.put(connection, "a", {"problems": []}, now=clock.advance(60))

    with own_database.begin() as connection:
        assert notes.get(connection, "a") == ({"problems": []}, clock.now)
        notes.drop(connection, "a")
        assert (notes.get(connection, "a"), (notes.get(connection, "b") or ["?"])[0]) == (None, [])
