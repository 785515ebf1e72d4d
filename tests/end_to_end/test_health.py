"""How it is: /healthz, /readyz and /metrics, as a real gunicorn of two processes tells them."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.simulator import Simulator
from tests.support.stack import Json, Stack, free_port
from tests.support.waiting import wait_until

INLINE: Json = {
    "fulfillments": [
        {"shipment_id": "se-1", "tracking_number": "1ZB7X0410390000001", "carrier_code": "ups"}
    ]
}


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """On SQLite, without a worker."""
    folder = tmp_path_factory.mktemp("receiver")
    with (
        Simulator() as simulator,
        Stack(simulator, f"sqlite:///{folder / 'bridge.db'}", folder) as stack,
    ):
        stack.start_receiver()
        yield stack


def test_healthz_tells_that_the_process_lives(receiver: Stack) -> None:
    answer = receiver.ask("GET", "/healthz")

    assert (answer.status, answer.json["status"]) == (200, "ok")


def test_readyz_is_503_until_a_worker_lives_and_200_from_then_on(stack: Stack) -> None:
    stack.start_receiver()
    without = stack.ask("GET", "/readyz")

    worker = stack.start_worker()
    ready = stack.ask("GET", "/readyz")
    worker.stop()
    stopped = stack.ask("GET", "/readyz")

    assert [answer.status for answer in (without, ready, stopped)] == [503, 200, 503]
    assert [answer.json["status"] for answer in (without, ready, stopped)] == [
        "not_ready",
        "ready",
        "not_ready",
    ]
    assert ready.json | {"worker_heartbeat_age_seconds": 0, "vendors": {}} == {
        "status": "ready",
        "database": "ok",
        "migrations": "ok",
        "worker": "ok",
        "worker_heartbeat_age_seconds": 0,
        "oldest_unprocessed_seconds": 0.0,
        "exceptions_waiting": 0,
        "last_sweep": None,
        "vendors": {},
    }
    assert set(ready.json["vendors"]) == {"shipstation", "shipstation_v1", "purple_dot"}


def test_readyz_tells_how_long_the_oldest_event_waits(receiver: Stack) -> None:
    receiver.send(INLINE)

    waiting = wait_until(
        lambda: receiver.ask("GET", "/readyz").json["oldest_unprocessed_seconds"],
        10,
        "an event to grow old",
    )

    assert 0 < waiting < 10


def test_looking_at_readyz_fills_no_log(receiver: Stack) -> None:
    for _ in range(3):
        receiver.ask("GET", "/readyz")

    assert "alembic" not in receiver.processes[0].output()


def test_metrics_add_up_over_gunicorns_processes(receiver: Stack) -> None:
    before, sent = receiver.metric("bridge_events_total"), 0

    def send_some() -> bool:
        nonlocal sent
        with ThreadPoolExecutor(8) as pool:
            sent += len(list(pool.map(lambda _: receiver.send(INLINE).event_id, range(8))))
        return len(list(receiver.folder.glob("bridge-metrics-*/counter_*.db"))) == 2

    wait_until(send_some, 20, "both processes to take webhooks")
    receiver.post(b"{")

    assert receiver.metric("bridge_events_total", event_type="INLINE_FULFILLMENTS") == before + sent
    assert (
        receiver.metric("bridge_events_total", event_type="INLINE_FULFILLMENTS", status="received")
        == 1
    )
    assert receiver.metric("bridge_rejections_total", cause="bad_json") == 1


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="only Linux tells a process's children in /proc"
)
def test_metrics_outlive_a_process_of_gunicorn(receiver: Stack) -> None:
    arbiter = receiver.processes[0].pid
    children = Path(f"/proc/{arbiter}/task/{arbiter}/children")
    receiver.send(INLINE)
    before = receiver.metric("bridge_events_total", event_type="INLINE_FULFILLMENTS")
    first = children.read_text().split()

    os.kill(int(first[0]), signal.SIGTERM)
    wait_until(
        lambda: len(set(children.read_text().split()) - set(first)) == 1,
        10,
        "gunicorn to replace a process",
    )
    wait_until(lambda: receiver.ask("GET", "/healthz").status == 200, 10, "the receiver to answer")

    assert receiver.metric("bridge_events_total", event_type="INLINE_FULFILLMENTS") == before


def test_operations_are_answered_on_their_own_address_alone(tmp_path: Path) -> None:
    operations = free_port()
    settings = {
        "BRIDGE_OPERATIONS_BIND": f"127.0.0.1:{operations}",
        "BRIDGE_CONSOLE_PASSWORD": "the-operators-password",
    }
    with (
        Simulator() as simulator,
        Stack(simulator, f"sqlite:///{tmp_path / 'bridge.db'}", tmp_path, settings) as stack,
    ):
        stack.start_receiver(workers=1)
        pages = ("/readyz", "/metrics", "/console/sign-in", "/healthz")
        public = [stack.ask("GET", page).status for page in pages]
        private = [stack.ask("GET", page, port=operations).status for page in pages]
        forged = stack.ask("GET", "/metrics", headers={"Host": f"127.0.0.1:{operations}"})
        webhooks = [stack.post(b"{}", port=port).status for port in (None, operations)]

    assert public == [404, 404, 404, 200]
    assert private == [503, 200, 200, 200]
    assert forged.status == 404
    assert webhooks == [400, 404]
