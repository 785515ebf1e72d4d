"""The worker's look every minute: each alert URL hears each change once, whatever restarts or fails
meanwhile."""

import json
import logging
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from bridge.cli import main
from bridge.domain.durations import DailyTime, read_daily_time
from bridge.domain.errors import StorageError
from bridge.domain.events import DeliveryStatus
from bridge.operations import repair
from bridge.operations.alert_check import AlertCheck, send
from bridge.operations.heartbeat import Heartbeat
from bridge.settings import Settings
from bridge.store import rate_limits, repairs, shared_state
from bridge.store.engine.database import Database
from bridge.vendors.rate_limit import Budget
from tests.integration.test_metrics_exporter import sweep
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import a_parcel, claim_event, claim_events, put, receive, rows

pytest_plugins = ["tests.support.database_fixtures"]

RATES = {"purple_dot": 120, "shipstation": 200}
CHAT, MAIL = SecretStr("slack://chat"), SecretStr("mailto://mail")


class Post:
    """Takes messages for each URL, or refuses those that `fails` names."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []
        self.fails: set[SecretStr] = set()

    def __call__(self, url: SecretStr, *, title: str, body: str) -> str | None:
        if url in self.fails:
            return "Unauthorized"
        self.sent.append((url.get_secret_value(), title.removeprefix("Purple Dot bridge: "), body))
        return None

    def titles(self) -> list[str]:
        """What came since the last look."""
        told, self.sent = [title for _, title, _ in self.sent], []
        return told


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def watch(database: WatchedDatabase, post: Post, logged: list[Any]) -> AlertCheck:  # noqa: ARG001  # keeps the log quiet
    return AlertCheck(database, [CHAT], RATES, has_console=True, send=post)


def look(watch: AlertCheck) -> None:
    watch.run(threading.Event())


def test_change_is_told_once_and_its_end_too(
    watch: AlertCheck, database: WatchedDatabase, post: Post
) -> None:
    look(watch)
    [decision] = put(database, a_parcel(number=None))
    for _ in range(2):
        look(watch)
    assert post.titles() == ["1 new exception"]

    with database.begin() as connection:
        [delivery] = repairs.find(connection, decision.delivery_id or "")
        repair.resolve(
            connection,
            delivery,
            status=DeliveryStatus.CANCELLED,
            reason="x",
            actor="alice (shell)",
            now=database.now(connection),
        )
    for _ in range(2):
        look(watch)
    assert post.titles() == ["No exception is left"]


def test_neither_a_restart_nor_another_worker_says_it_again(
    watch: AlertCheck, database: WatchedDatabase, post: Post
) -> None:
    put(database, a_parcel(number=None))
    look(watch)

    look(AlertCheck(database, [CHAT], RATES, has_console=True, send=post))

    assert post.titles() == ["1 new exception"]


def test_url_that_fails_hears_it_later_and_the_others_hear_it_once(
    database: WatchedDatabase, post: Post, logged: list[MutableMapping[str, Any]]
) -> None:
    watch = AlertCheck(database, [MAIL, CHAT], RATES, has_console=True, send=post)
    put(database, a_parcel(number=None))
    post.fails = {MAIL}
    for _ in range(2):
        look(watch)
    assert [url for url, _, _ in post.sent] == ["slack://chat"]
    assert [entry["target"] for entry in logged if entry["event"] == "alert_not_sent"] == [
        "mailto://***"
    ] * 2

    post.fails = set()
    look(watch)

    assert [url for url, _, _ in post.sent] == ["slack://chat", "mailto://mail"]


def test_no_url_is_kept_in_the_database(watch: AlertCheck, database: WatchedDatabase) -> None:
    put(database, a_parcel(number=None))
    look(watch)

    assert "chat" not in str(rows(database, "shared_state"))


def test_vendor_that_fails_and_recovers_is_told(
    watch: AlertCheck, database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    for _ in range(rate_limits.FAILURES_IN_A_ROW):
        with database.begin() as connection:
            rate_limits.failed(connection, "purple_dot", now=clock.now)
        clock.advance(rate_limits.FAILING_SECONDS)
    look(watch)
    with database.begin() as connection:
        rate_limits.worked(connection, "purple_dot")
    look(watch)

    assert post.titles() == ["Purple Dot can't be called", "Purple Dot can be called again"]


def test_writes_without_a_clear_answer_are_told_at_the_next_look(
    watch: AlertCheck, database: WatchedDatabase, post: Post
) -> None:
    ours = Budget(database, "purple_dot", 120, threading.Event())
    for _ in range(rate_limits.UNCLEAR_IN_A_ROW):
        ours.before_call("order")
        ours.after_call("order", "ok", 0.1, {})
        ours.before_write("create_fulfillment")
        ours.after_write("create_fulfillment", is_clear=False)
    look(watch)
    ours.after_write("create_fulfillment", is_clear=True)
    look(watch)

    assert post.titles() == [
        "Purple Dot gives no clear answer to fulfillments",
        "Purple Dot answers fulfillments clearly again",
    ]


@pytest.mark.parametrize("refusal", ["credentials", "redirect"])
def test_credentials_that_are_refused_are_told_until_they_are_taken(
    watch: AlertCheck, database: WatchedDatabase, post: Post, refusal: str
) -> None:
    ours = Budget(database, "shipstation", 200, threading.Event())
    for outcome in ("ok", refusal, "not_found", "network"):
        ours.after_call("labels", outcome, 0.1, {})
        look(watch)
    assert post.titles() == ["ShipStation V2 refuses our credentials"]

    Budget(database, "shipstation", 200, threading.Event()).after_call(
        "labels", "ok", 0.1, {}
    )  # After a restart, with a new key.
    look(watch)

    assert post.titles() == ["ShipStation V2 takes our credentials again"]


def test_missed_webhooks_and_lost_subscriptions_are_told(
    watch: AlertCheck, database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    sweep(database, missed=2)
    with database.begin() as connection:
        shared_state.put(
            connection,
            shared_state.LOST,
            {"problems": ["ShipStation V1 SHIP_NOTIFY is not subscribed"]},
            now=clock.now,
        )
    look(watch)
    sweep(database, missed=1)
    look(watch)
    assert post.titles() == ["Webhooks were missed; A webhook subscription is lost"]

    clock.advance(25 * 3600)
    look(watch)

    assert post.titles() == ["For a day no webhook was missed"]


def test_work_that_nobody_takes_is_told_and_work_that_moves_is_not(
    watch: AlertCheck, database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    for number in range(6):
        receive(database, resource_url=f"https://ssapi.shipstation.com/shipments?batchId={number}")
    for _ in range(3):  # A backlog, but it moves.
        claim_events(database, limit=1)
        look(watch)
        clock.advance(400)
        claim_events(database, limit=1)
    assert post.titles() == []

    for _ in range(3):
        look(watch)
        clock.advance(400)
    assert post.titles() == ["Work stands still"]

    while claim_events(database, limit=10):
        pass
    look(watch)
    assert post.titles() == ["Work moves again"]


def test_silence_is_learned_from_the_same_hours_of_earlier_weeks(
    watch: AlertCheck, database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    today = clock.now
    for week in range(4, -1, -1):
        for minute in range(0, 240 if week else 1, 10):
            clock.now = today - timedelta(weeks=week) + timedelta(minutes=minute)
            receive(
                database,
                resource_url=f"https://ssapi.shipstation.com/shipments?batchId={week}{minute}",
            )
    with database.begin() as connection:  # All of it was worked on.
        connection.exec_driver_sql(
            "UPDATE events SET status = 'processed', due_at = NULL, waiting_pointer = NULL"
        )
    clock.now = today + timedelta(minutes=50)
    look(watch)
    assert post.titles() == []

    clock.now = today + timedelta(hours=3)
    for _ in range(2):
        look(watch)
    assert post.titles() == ["No webhook comes"]

    receive(
        database, resource_url="https://ssapi.shipstation.com/shipments?batchId=99", source="sweep"
    )  # Not from ShipStation.
    claim_event(database)
    look(watch)
    assert post.titles() == []
    receive(database, resource_url="https://ssapi.shipstation.com/shipments?batchId=100")
    look(watch)
    assert post.titles() == ["Webhooks come again"]


def test_link_leads_to_where_the_webhooks_come_in(
    watch: AlertCheck, database: WatchedDatabase, post: Post
) -> None:
    put(database, a_parcel(number=None))
    with database.begin() as connection:
        value = {
            "url": "https://bridge.example.com/webhooks/shipstation",
            "store": None,
            "apis": ["v2"],
        }
        shared_state.put(connection, shared_state.SUBSCRIBED, value, now=database.now(connection))
    look(watch)

    assert "See https://bridge.example.com/console/exceptions" in post.sent[0][2]


# Apprise, for real


@contextmanager
def listener(status: int = 200) -> Iterator[tuple[int, list[Any]]]:
    """A service that takes Apprise's json:// messages; its port, and what came."""
    came: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, came
    finally:
        server.shutdown()
        server.server_close()


def test_message_arrives() -> None:
    with listener() as (port, came):
        assert (
            send(SecretStr(f"json://127.0.0.1:{port}/hook"), title="A title", body="A body") is None
        )

    assert [(one["title"], one["message"]) for one in came] == [("A title", "A body")]


def test_failure_says_why_and_nothing_of_the_url(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with listener(status=403) as (port, _):
        problem = send(
            SecretStr(f"json://someone:s3cret-word@127.0.0.1:{port}/tok3n-in-path"),
            title="A",
            body="B",
        )

    told = " ".join([problem or "", *capfd.readouterr()])
    assert problem
    assert "403" in problem
    assert "s3cret-word" not in told
    assert "tok3n-in-path" not in told
    assert "s3cret-word" not in caplog.text


@pytest.mark.parametrize(
    "url", ["json://someone:s3cret-word@127.0.0.1:1/x", "nothing-like-it://s3cret-word/x"]
)
def test_service_that_is_not_there_or_not_known_is_a_failure_and_no_crash(url: str) -> None:
    problem = send(SecretStr(url), title="A", body="B")

    assert problem
    assert "s3cret-word" not in problem


SETTINGS = {
    "BRIDGE_WEBHOOK_TOKENS": "t0ken-of-the-front-door",
    "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd-access-7c1",
    "BRIDGE_SHIPSTATION_API_KEY": "v2-key-95d",
}


def test_alerts_test_tells_each_urls_result(cli_settings: dict[str, str]) -> None:
    with listener() as (well, came), listener(status=500) as (ill, _):
        cli_settings["BRIDGE_ALERT_URLS"] = (
            f"json://127.0.0.1:{well}/s3cret-word, json://127.0.0.1:{ill}/s3cret-word"
        )
        done = CliRunner().invoke(main, ["alerts", "test"], env=cli_settings)
        as_json = CliRunner().invoke(main, ["alerts", "test", "--json"], env=cli_settings)

    assert done.exit_code == as_json.exit_code == 1
    assert done.stdout.splitlines()[0] == "1. json://***: sent"
    assert done.stdout.splitlines()[1].startswith("2. json://***: failed: ")
    assert [bool(row["problem"]) for row in json.loads(as_json.stdout)] == [False, True]
    assert len(came) == 2
    assert "s3cret-word" not in done.output + as_json.output


def test_alerts_test_without_a_url_says_what_to_set(cli_settings: dict[str, str]) -> None:
    done = CliRunner().invoke(main, ["alerts", "test"], env=cli_settings)

    assert done.exit_code == 2
    assert "BRIDGE_ALERT_URLS is empty" in done.stderr


@pytest.fixture
def cli_settings() -> dict[str, str]:
    return dict(SETTINGS)


def test_missing_apprise_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(Exception, match=r"entry 1 needs the Python package apprise.*\[alerts\]"):
        Settings.load(SETTINGS | {"BRIDGE_ALERT_URLS": "slack://a/b/c"})


def test_database_that_fails_ends_no_worker(
    watch: AlertCheck, database: WatchedDatabase, post: Post
) -> None:
    database.fail()
    with pytest.raises(Exception, match="restarted"):
        look(watch)

    put(database, a_parcel(number=None))
    look(watch)
    assert post.titles() == ["1 new exception"]
    assert isinstance(database, Database)


def test_database_that_takes_nothing_is_an_alert_that_needs_no_database(
    database: WatchedDatabase, post: Post, logged: list[Any]
) -> None:
    seconds = [0.0]
    watch = AlertCheck(
        database, [CHAT], RATES, has_console=True, send=post, clock=lambda: seconds[0]
    )
    error = StorageError("the disk is full")
    watch.database_failed(error)
    assert post.titles() == []  # A restart of the database is none.

    seconds[0] = 61
    watch.database_failed(error)
    watch.database_failed(error)
    assert "the disk is full" in post.sent[0][2]
    assert post.titles() == ["The database takes nothing"]

    look(watch)
    look(watch)
    assert post.titles() == ["The database takes work again"]
    assert [entry["event"] for entry in logged] == ["alert_sent"] * 2


# The daily digest

AT_EIGHT = read_daily_time("08:00 America/New_York")
A_DAY = timedelta(days=1).total_seconds()


def with_digest(
    database: WatchedDatabase, post: Post, at: DailyTime = AT_EIGHT, *urls: SecretStr
) -> AlertCheck:
    return AlertCheck(database, urls or [CHAT], RATES, has_console=True, digest_at=at, send=post)


def digests(post: Post) -> list[str]:
    """Those that came since the last look."""
    begin = "Purple Dot bridge, daily digest: "
    return [title.removeprefix(begin) for title in post.titles() if title.startswith(begin)]


@pytest.mark.usefixtures("logged")
def test_digest_comes_once_a_day_and_says_so_when_nothing_waits(
    database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    watch = with_digest(database, post)
    look(watch)
    clock.advance(3_599)  # 7:59:59 in New York.
    look(watch)
    assert digests(post) == []

    clock.advance(1)
    for _ in range(3):
        look(watch)
        clock.advance(60)
    assert digests(post) == ["nothing needs a person"]

    put(database, a_parcel(number=None))
    clock.advance(A_DAY)
    look(watch)
    assert digests(post) == ["1 needs a person"]


@pytest.mark.usefixtures("logged")
def test_digest_is_sent_once_whatever_restarts_and_however_many_workers_look(
    database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    look(with_digest(database, post))
    clock.advance(A_DAY)

    for _ in range(3):
        look(with_digest(database, post))

    assert digests(post) == ["nothing needs a person"]


@pytest.mark.usefixtures("logged")
def test_digest_of_a_day_without_a_worker_comes_late_and_once(
    database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    look(with_digest(database, post))
    clock.advance(3 * A_DAY + 7_200)

    look(with_digest(database, post))
    clock.advance(60)
    look(with_digest(database, post))

    assert digests(post) == ["nothing needs a person"]


@pytest.mark.usefixtures("logged")
def test_digest_that_could_not_be_sent_is_sent_a_minute_later(
    database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    watch = with_digest(database, post, AT_EIGHT, MAIL, CHAT)
    look(watch)
    clock.advance(A_DAY)
    post.fails = {MAIL}
    look(watch)
    assert [url for url, _, _ in post.sent] == ["slack://chat"]

    post.fails = set()
    clock.advance(60)
    look(watch)

    assert [url for url, _, _ in post.sent] == ["slack://chat", "mailto://mail"]


@pytest.mark.usefixtures("logged")
def test_digest_follows_a_time_that_was_changed_and_never_comes_twice_for_it(
    database: WatchedDatabase, post: Post, clock: Clock
) -> None:
    look(with_digest(database, post))
    later = read_daily_time("09:00 America/New_York")
    look(with_digest(database, post, later))

    clock.advance(3_600)  # 8:00 in New York.
    look(with_digest(database, post, later))
    assert digests(post) == []

    clock.advance(3_600)
    look(with_digest(database, post, later))
    assert digests(post) == ["nothing needs a person"]


@pytest.mark.usefixtures("logged")
def test_two_workers_at_once_send_one_digest(database: WatchedDatabase, clock: Clock) -> None:
    """Each reads before the other has sent."""
    sent: list[str] = []

    def send_while_another_looks(_url: SecretStr, *, title: str, body: str) -> None:
        assert body
        sent.append(title)
        if len(sent) == 1:
            look(with_digest(database, send_while_another_looks))  # type: ignore[arg-type]  # any sender does

    look(with_digest(database, Post()))
    clock.advance(A_DAY)

    look(with_digest(database, send_while_another_looks))  # type: ignore[arg-type]  # any sender does

    assert len(sent) == 1


def test_without_the_setting_no_digest_comes(watch: AlertCheck, post: Post, clock: Clock) -> None:
    for _ in range(3):
        look(watch)
        clock.advance(A_DAY)

    assert digests(post) == []


@pytest.mark.parametrize(("status", "beats"), [("ready", 1), ("not_ready", 0)])
def test_heartbeat_is_sent_while_the_bridge_is_ready(
    status: str, beats: int, logged: list[Any]
) -> None:
    asked: list[str] = []
    url = SecretStr("https://hc.example/s3cret-word")

    Heartbeat(url, lambda: {"status": status, "database": "ok"}, asked.append).run(None)

    assert asked == ["https://hc.example/s3cret-word"] * beats
    assert "s3cret-word" not in str(logged)


def test_heartbeat_that_fails_is_logged_without_its_url(logged: list[Any]) -> None:
    url = SecretStr("http://127.0.0.1:1/s3cret-word")

    Heartbeat(url, lambda: {"status": "ready", "database": "ok"}).run(None)

    assert [entry["event"] for entry in logged] == ["heartbeat_not_sent"]
    assert "s3cret-word" not in str(logged)
