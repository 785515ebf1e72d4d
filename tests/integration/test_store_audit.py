"""The audit list: what people did stands there, newest first, whatever they wrote."""

from bridge.store import audit
from bridge.store.engine.database import Database
from tests.support.fakes import Clock
from tests.support.rows import rows

pytest_plugins = ["tests.support.database_fixtures"]


def note(database: Database, subject: str = "dlv_1", **told: str) -> None:
    with database.begin() as connection:
        audit.note(
            connection,
            **({"actor": "alice (shell)", "action": "retry", "subject": subject} | told),
            now=database.now(connection),
        )  # type: ignore[arg-type]


def test_acts_are_told_newest_first_with_who_when_what_and_why(
    database: Database, clock: Clock
) -> None:
    note(database, reason="the SKU was mended", outcome="is tried again now")
    then = clock.now
    clock.advance(60)
    note(database, "dlv_2", action="link")

    with database.read() as connection:
        newest, oldest = audit.entries(connection)

    assert (newest["action"], newest["subject"], newest["reason"]) == ("link", "dlv_2", None)
    assert oldest["at"] == then
    assert (oldest["actor"], oldest["reason"], oldest["outcome"]) == (
        "alice (shell)",
        "the SKU was mended",
        "is tried again now",
    )


def test_acts_are_narrowed_by_subject_and_age_and_paged(database: Database, clock: Clock) -> None:
    for subject in ("dlv_1", "dlv_2", "dlv_1"):
        note(database, subject)
        clock.advance(60)

    with database.read() as connection:
        assert [row["id"] for row in audit.entries(connection, subject="dlv_1")] == [
            rows(database, "audit")[2].id,
            rows(database, "audit")[0].id,
        ]
        assert [row["subject"] for row in audit.entries(connection, since=clock.now)] == []
        [first] = audit.entries(connection, limit=1)
        assert [row["subject"] for row in audit.entries(connection, before=first["id"])] == [
            "dlv_2",
            "dlv_1",
        ]


def test_no_text_is_too_odd_or_too_long_to_be_noted(database: Database) -> None:
    note(database, "x" * 1000, actor="y" * 1000, reason="\0 \ud800 " + "z" * 5000, outcome="\0")

    [act] = rows(database, "audit")
    assert (len(act.subject), len(act.actor), len(act.reason)) == (128, 128, 1000)
