"""docs/operate.md, followed: each numbered recipe step by step, with real processes and
webhooks going on; and the restore drill."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path

import pytest
import requests

from bridge.simulator import Credentials, PurpleDotOrder, Simulator, World
from bridge.store import restores
from bridge.store.engine.database import Database
from tests.support.postgres import Server
from tests.support.stack import SETTINGS, Answer, Json, Process, Stack
from tests.support.waiting import wait_until

PAGE = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
DRILL = Path(__file__).parents[2] / "deploy" / "restore-drill.sh"
OLD, NEW = "the-old-token-of-tests", "the-new-token-of-tests"
HOME = "https://bridge.example.com"


def steps(heading: str) -> list[str]:
    """What each numbered step of a recipe says to do: its bold words."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    return re.findall(r"^\d\. \*\*(.+?)\*\*", section, re.MULTILINE)


def follow(heading: str, recipe: Mapping[str, Callable[[], object]]) -> None:
    """Do what the page says, in its order; a step that was changed, added or taken away there fails
    here."""
    assert list(recipe) == steps(heading)
    for do in recipe.values():
        do()


class Site:
    """A bridge between both vendors, and a warehouse that ships while somebody follows a recipe."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.world = stack, stack.world
        self.told: list[PurpleDotOrder] = []
        stack.settings = {
            "BRIDGE_WEBHOOK_TOKENS": OLD,
            "BRIDGE_CONSOLE_PASSWORD": "the old password",
        }
        self.receiver, self.worker = stack.start_receiver(workers=1), stack.start_worker()
        self.token = OLD

    def set(self, **settings: str) -> None:
        self.stack.settings = {**self.stack.settings, **settings}

    def post(self, raw: bytes, headers: Mapping[str, str]) -> Answer | None:
        try:
            return self.stack.post(raw, {**headers, "X-Bridge-Token": self.token}, token=None)
        except (OSError, HTTPException):
            return None

    def ship(self) -> None:
        """A parcel leaves. Its webhook is sent again until it is taken, as ShipStation does, signed
        anew each time."""
        order = self.world.add_order()
        body = self.world.label_created_v2(
            self.world.buy_labels(self.world.add_shipstation_order(order))
        )

        def is_taken() -> bool:
            answer = self.post(*self.stack.simulator.webhook(body))
            return answer is not None and answer.status == 202

        wait_until(is_taken, 60, "a webhook to be taken")
        self.told.append(order)

    def restart_receivers(self) -> None:
        """Parcels leave while nobody listens."""
        self.receiver.stop()
        shipping = threading.Thread(target=self.ship)
        shipping.start()
        self.receiver = self.stack.start_receiver(workers=1)
        shipping.join()

    def restart_workers(self) -> None:
        self.worker.stop()
        self.ship()
        self.worker = self.stack.start_worker()

    def run(self, *arguments: str) -> Process:
        command = self.stack.start("command", *arguments)
        wait_until(lambda: command.exit_code is not None, 60, " ".join(arguments))
        return command

    def assert_nothing_was_lost(self) -> None:
        self.stack.settle(60)
        assert len(self.told) >= 2
        assert [len(self.stack.fulfillments(order)) for order in self.told] == [1] * len(self.told)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    an_hour_ago = World(
        now=lambda: datetime.now(UTC) - timedelta(hours=1)
    )  # The sweep leaves to the webhooks what is minutes old.
    with (
        Simulator(an_hour_ago) as simulator,
        Stack(simulator, f"sqlite:///{tmp_path / 'bridge.db'}", tmp_path) as stack,
    ):
        yield Site(stack)


def test_webhook_token_is_rotated(site: Site) -> None:
    def update_the_senders() -> None:
        assert site.run("webhooks", "ensure", HOME).exit_code == 0
        [label] = [one for one in site.world.subscriptions if one.event == "label_created_v2"]
        [site.token] = [
            header["value"] for header in label.headers if header["key"] == "X-Bridge-Token"
        ]

    def remove_the_old_one() -> None:
        site.set(BRIDGE_WEBHOOK_TOKENS=NEW)
        site.restart_receivers()

    site.ship()
    follow(
        "The webhook token",
        {
            "Make one": lambda: None,
            "Set both": lambda: site.set(BRIDGE_WEBHOOK_TOKENS=f"{NEW},{OLD}"),
            "Restart the receivers": site.restart_receivers,
            "Update the senders": update_the_senders,
            "Wait an hour": site.ship,
            "Remove the old one": remove_the_old_one,
        },
    )

    site.ship()
    assert (site.token, site.stack.post(b"{}", token=OLD).status) == (NEW, 401)
    site.assert_nothing_was_lost()


@pytest.mark.parametrize("is_revoked_first", [False, True])
def test_vendors_keys_are_rotated(site: Site, is_revoked_first: bool) -> None:
    old = site.stack.simulator.credentials
    new = Credentials(
        v2_key="the-new-v2-key",
        v1_secret="the-new-v1-secret",
        purple_dot_token="the-new-purple-dot-token",
    )

    def accept(credentials: Credentials) -> None:
        site.stack.simulator.credentials = credentials

    def set_it() -> None:
        """Each vendor takes both for a while; the simulator takes one, so what is asked meanwhile
        is refused and waits."""
        if is_revoked_first:
            accept(new)
            site.ship()
        keys = {
            "SHIPSTATION_API_KEY": new.v2_key,
            "SHIPSTATION_V1_API_SECRET": new.v1_secret,
            "PURPLE_DOT_ACCESS_TOKEN": new.purple_dot_token,
        }
        site.set(
            **{f"BRIDGE_{name}": value for name, value in keys.items()},
            BRIDGE_RETRY_SCHEDULE="1s,1s,1s,1s,1s,1s,1s,1s,1s,1s",
        )

    def restart() -> None:
        site.worker.stop()
        accept(new)
        site.ship()
        site.worker = site.stack.start_worker()

    site.set(BRIDGE_RETRY_SCHEDULE="1s,1s,1s,1s,1s,1s,1s,1s,1s,1s")
    site.restart_workers()
    site.stack.settle()
    follow(
        "ShipStation's keys, Purple Dot's token",
        {
            "Make a new one": lambda: None,
            "Set it": set_it,
            "Restart the workers.": restart,
            "Look": lambda: site.stack.settle(60),
            "Revoke the old one": lambda: accept(replace(new)),
        },
    )

    site.ship()
    assert site.stack.simulator.credentials.v2_key != old.v2_key
    site.assert_nothing_was_lost()


def test_consoles_password_is_rotated(site: Site) -> None:
    browser = requests.Session()

    def look() -> str:
        """Where a person who opens the console lands: inside, or at its door."""
        return browser.get(
            f"http://127.0.0.1:{site.stack.port}/console/", timeout=20
        ).url.partition("/console/")[2]

    def sign_in(password: str) -> int:
        door = f"http://127.0.0.1:{site.stack.port}/console/sign-in"
        csrf = re.findall(r'name="csrf" value="([^"]+)"', browser.get(door, timeout=20).text)
        return browser.post(
            door, {"password": password, "csrf": csrf[0]}, timeout=20, allow_redirects=False
        ).status_code

    came_in = sign_in("the old password"), look()
    follow(
        "The console's password",
        {
            "Set the new one": lambda: site.set(BRIDGE_CONSOLE_PASSWORD="the new password"),
            "Restart the receivers.": site.restart_receivers,
        },
    )

    site.ship()
    assert came_in == (303, "")
    assert look().startswith("sign-in")  # The session of the old one is over.
    assert (sign_in("the old password"), sign_in("the new password"), look()) == (401, 303, "")
    browser.close()
    site.assert_nothing_was_lost()


def test_shipstations_signature_keys_are_rotated(site: Site) -> None:
    site.ship()
    site.stack.simulator.signer.rotate(keep_old=False)
    refused = site.post(*site.stack.simulator.webhook(a_label(site)))
    assert refused is not None
    assert refused.status == 401  # The key set was read a moment ago: not again within the minute.

    def accept_unverified() -> None:
        site.stack.simulator.inject("shipstation.jwks", "status:500", None)
        site.set(BRIDGE_SHIPSTATION_SIGNATURE="off")
        site.restart_receivers()

    follow(
        "ShipStation's signature keys (RSA, JWKS)",
        {
            "Nothing": lambda: None,
            "Restart the receivers": site.restart_receivers,
            "Accept unverified ones": accept_unverified,
        },
    )

    site.assert_nothing_was_lost()


def a_label(site: Site) -> Json:
    return site.world.label_created_v2(
        site.world.buy_labels(site.world.add_shipstation_order(site.world.add_order()))
    )


def test_old_copy_is_put_back_and_nothing_is_told_twice(site: Site) -> None:
    stack, world, database = site.stack, site.world, site.stack.folder / "bridge.db"
    split = world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)])
    first, second = world.split(
        world.add_shipstation_order(split), [[("ALDER-TEE-S", 2)], [("ALDER-CAP", 1)]]
    )
    site.ship()
    stack.settle()
    assert site.run("backup", "backup.db").exit_code == 0
    site.ship()  # The copy knows neither of these two.
    send(site, world.label_created_v2(world.buy_labels(first)))
    stack.settle()
    told = len(world.fulfillments)

    def stop() -> None:
        site.receiver.stop()
        site.worker.stop()
        stack.database.close()

    def set_aside() -> None:
        (stack.folder / "aside").mkdir()
        for file in stack.folder.glob("bridge.db*"):
            file.rename(stack.folder / "aside" / file.name)

    def start() -> None:
        site.receiver, site.worker = stack.start_receiver(workers=1), stack.start_worker()
        stack.database = Database(stack.database_url)
        assert site.worker.logged("restored_backup_found")

    def sweep() -> None:
        assert site.run("reconcile", "--since", "3d").exit_code in (0, 1)
        stack.settle(60)

    def settle_what_is_held() -> None:
        # The order that was told whole is recognized by its status.
        [held] = [delivery for delivery in stack.deliveries() if delivery["status"] == "held"]
        assert (held["reason"], held["reference"]) == ("unconfirmed_partial", split.reference)
        assert (
            site.run("resolve", held["id"], "--as", "delivered", "--reason", "restored").exit_code
            == 0
        )

    follow(
        "Put a copy back",
        {
            "Stop every receiver and worker.": stop,
            "Set the old database aside": set_aside,
            "Put the copy in its place": lambda: shutil.copy(stack.folder / "backup.db", database),
            "Say that it is old": lambda: None,
            "Start.": start,
            "Sweep": sweep,
            "Settle what is held": settle_what_is_held,
        },
    )

    assert len(world.fulfillments) == told
    send(site, world.label_created_v2(world.buy_labels(second)))
    site.assert_nothing_was_lost()
    assert len(stack.fulfillments(split)) == 2


def send(site: Site, body: Json) -> None:
    answer = site.post(*site.stack.simulator.webhook(body))
    assert answer is not None
    assert answer.status == 202


# The page and the drill


def test_page_can_be_read_at_three_in_the_morning() -> None:
    assert len(PAGE.splitlines()) < 250
    assert max(map(len, PAGE.splitlines())) <= 200


def drill(
    file: Path, database_url: str, simulator: Simulator, folder: Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    own = {"BRIDGE": f"{sys.executable} -m bridge", "BRIDGE_DATABASE_URL": database_url}
    env = dict(os.environ) | simulator.env() | SETTINGS | own | environ
    return subprocess.run(
        [str(DRILL), str(file)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """A database with one parcel told."""
    with Simulator() as simulator, Stack(simulator, database_url, tmp_path) as stack:
        yield stack


def test_drill_finds_a_backup_good(database: Stack, request: pytest.FixtureRequest) -> None:
    database.start_receiver(workers=1)
    world = database.world
    order = world.add_order()
    database.send(world.label_created_v2(world.buy_labels(world.add_shipstation_order(order))))
    database.run_worker_once()
    file, environ = database.folder / "backup", {}
    backup = database.start("backup", "backup", str(file))
    wait_until(lambda: backup.exit_code is not None, 30, "the copy")
    if not database.database.is_sqlite:
        server: Server = request.getfixturevalue("postgres_server")
        server.shell(backup.output().splitlines()[-1].strip())
        environ = {
            "DRILL_DATABASE_URL": server.url("drill").replace("+psycopg", "").replace("=/", "=%2F"),
            "PATH": server.path(),
        }

    done = drill(file, database.database_url, database.simulator, database.folder, **environ)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "In the backup: 1 deliveries, in the running ledger: 1." in done.stdout
    assert re.search(r'Newest event in the backup: "20\d\d-', done.stdout)
    with database.database.read() as connection:
        assert restores.last(connection) is None
    if environ:
        server.drop("drill")


def test_drill_tells_a_backup_that_is_none_or_of_another_database(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    with (
        Simulator() as simulator,
        Stack(
            simulator, f"sqlite:///{tmp_path / 'theirs' / 'bridge.db'}", tmp_path / "theirs"
        ) as theirs,
    ):
        theirs.start_receiver(workers=1)
        world = theirs.world
        theirs.send(
            world.label_created_v2(world.buy_labels(world.add_shipstation_order(world.add_order())))
        )
        theirs.run_worker_once()
        backup = theirs.start("backup", "backup", str(tmp_path / "theirs.db"))
        wait_until(lambda: backup.exit_code is not None, 30, "the copy")
        with Stack(
            simulator, f"sqlite:///{tmp_path / 'ours' / 'bridge.db'}", tmp_path / "ours"
        ) as ours:
            (tmp_path / "torn.db").write_bytes((tmp_path / "theirs.db").read_bytes()[:20_000])
            told = [
                drill(tmp_path / name, ours.database_url, simulator, ours.folder)
                for name in ("theirs.db", "torn.db", "no.db")
            ]

    assert [done.returncode for done in told] == [1, 1, 2]
    assert "1 deliveries in it are unknown to the running ledger" in told[0].stderr
    assert "NOT GOOD" in told[1].stderr
