"""One row a name; the newest stands, on both databases."""

from bridge.store import shared_state
from bridge.store.engine.database import Database
from tests.support.fakes import Clock


def test_newest_note_of_a_name_stands_until_it_is_dropped(own_database: Database) -> None:
    clock = Clock()
    with own_database.begin() as connection:
        shared_state.put(connection, "a", {"problems": ["one"]}, now=clock.now)
        shared_state.put(connection, "b", [], now=clock.now)
        shared_state.put(connection, "a", {"problems": []}, now=clock.advance(60))

    with own_database.begin() as connection:
        assert shared_state.get(connection, "a") == ({"problems": []}, clock.now)
        shared_state.drop(connection, "a")
        assert (
            shared_state.get(connection, "a"),
            (shared_state.get(connection, "b") or ["?"])[0],
        ) == (None, [])
