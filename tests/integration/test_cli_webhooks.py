"""`bridge webhooks` against the simulator: nothing stolen, nothing twice, nothing told that opens a
door."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.services import Services
from bridge.settings import Settings
from bridge.simulator import Simulator, Subscription, World
from bridge.store import shared_state
from tests.support.stack import Stack

pytest_plugins = ["tests.support.simulator_fixtures"]

Run = Callable[..., Result]

OLD, NEW = "the-old-token-of-tests", "the-new-token-of-tests"
HOME = "https://bridge.example.com/webhooks/shipstation"
EVENTS = {
    "v2": ["label_created_v2", "fulfillment_shipped_v2", "fulfillment_rejected_v2"],
    "v1": ["SHIP_NOTIFY", "FULFILLMENT_SHIPPED", "FULFILLMENT_REJECTED"],
}
ALL = [*EVENTS["v2"], *EVENTS["v1"]]

IS_OFF = "is subscribed, but switched off or with a token that we no longer take"


@pytest.fixture
def env(simulator_env: dict[str, str]) -> dict[str, str]:
    return simulator_env | {"BRIDGE_WEBHOOK_TOKENS": OLD}


@pytest.fixture
def run(env: Mapping[str, str]) -> Run:
    def run(*arguments: str, token: str = OLD) -> Result:
        return CliRunner().invoke(
            main, ["webhooks", *arguments], env={**env, "BRIDGE_WEBHOOK_TOKENS": token}
        )

    return run


def told(result: Result) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def outcomes(result: Result) -> dict[str, str]:
    return {row["event"]: row["outcome"] for row in told(result)}


def of(world: World, event: str) -> list[Subscription]:
    return [one for one in world.subscriptions if one.event == event]


def urls(world: World) -> list[str]:
    return [one.url for one in world.subscriptions]


# What must never happen


def test_url_of_somebody_else_is_left_alone_and_told(run: Run, world: World) -> None:
    theirs = world.subscribe(
        "label_created_v2", "https://erp.example.net/in/s3cr3t-path?key=qwerty"
    )

    result = run("ensure", HOME, "--json")

    assert result.exit_code == 1
    assert outcomes(result)["label_created_v2"] == "not ours, left alone"
    assert [one.url for one in of(world, "label_created_v2")] == [theirs.url]
    assert "https://erp.example.net/in/***?***" in result.stdout
    assert not any(secret in result.stdout for secret in ("s3cr3t", "qwerty"))
    assert (
        outcomes(result)["fulfillment_shipped_v2"] == outcomes(result)["SHIP_NOTIFY"] == "created"
    )
    assert "ShipStation V2 takes one URL for each event" in run("ensure", HOME).stdout


@pytest.mark.parametrize(
    "almost",
    [
        "https://bridge.example.com.evil.example/webhooks/shipstation",
        "https://bridge.example.com:8443/webhooks/shipstation",
        "http://bridge.example.com/webhooks/shipstation",
        "https://bridge.example.com/webhooks/shipstation2",
        "https://bridge.example.com/webhooks/shipstation/a/b",
        "https://bridge.example.com/staging/webhooks/shipstation",
        "https://someone@bridge.example.com/webhooks/shipstation",
    ],
)
def test_only_our_very_host_and_path_is_ours(run: Run, world: World, almost: str) -> None:
    world.subscribe("label_created_v2", almost)
    world.subscribe("SHIP_NOTIFY", almost)

    run("ensure", HOME)
    run("remove")

    assert urls(world) == [almost, almost]


def test_second_url_for_a_v1_event_stands_beside_the_first(run: Run, world: World) -> None:
    world.subscribe("SHIP_NOTIFY", "https://erp.example.net/hook")

    result = run("ensure", HOME, "--json")

    assert result.exit_code == 0
    assert [one.url for one in of(world, "SHIP_NOTIFY")] == [
        "https://erp.example.net/hook",
        f"{HOME}/{OLD}",
    ]


@pytest.mark.parametrize(
    "command", [["list"], ["ensure", HOME], ["ensure", HOME, "--dry-run"], ["remove"]]
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_token_is_told(run: Run, command: list[str], form: list[str]) -> None:
    run("ensure", HOME)

    result = run(*command, *form, token=f"{NEW},{OLD}")

    assert HOME in result.output
    assert not any(secret in result.output for secret in (OLD, NEW))


@pytest.mark.parametrize(
    "wrong",
    [
        "http://bridge.example.com",
        "bridge.example.com",
        f"{HOME}/{OLD}",
        "https://user:pw@host",
        f"{HOME}?x=1",
    ],
)
def test_url_that_can_not_be_meant_is_wrong_use(run: Run, world: World, wrong: str) -> None:
    result = run("ensure", wrong)

    assert (result.exit_code, world.subscriptions) == (2, [])
    assert OLD not in result.output.replace(wrong, "")


def test_key_that_one_api_refuses_does_not_hold_up_the_other(run: Run, env: dict[str, str]) -> None:
    env["BRIDGE_SHIPSTATION_API_KEY"] = "a-key-of-nobody"

    result = run("ensure", HOME, "--json")

    assert result.exit_code == 1
    assert outcomes(result) == {"every event": "failed"} | dict.fromkeys(EVENTS["v1"], "created")


def test_second_url_that_shipstation_refuses_is_told_in_its_words(
    run: Run, simulator: Simulator
) -> None:
    simulator.inject("shipstation.create_webhook", "status:409")

    result = run("ensure", HOME, "--json")

    assert (result.exit_code, outcomes(result)["label_created_v2"]) == (1, "failed")
    assert "answered 409" in result.stdout


@pytest.mark.parametrize("fault", ["drop_after_commit", "error_after_commit"])
def test_answer_that_was_lost_is_mended_by_running_it_again(
    run: Run, simulator: Simulator, world: World, fault: str
) -> None:
    simulator.inject("shipstation.create_webhook", fault)
    simulator.inject("shipstation_v1.create_webhook", fault)

    first, second = run("ensure", HOME, "--json"), run("ensure", HOME, "--json")

    assert (first.exit_code, second.exit_code) == (1, 0)
    assert sorted(one.event for one in world.subscriptions) == sorted(ALL)


def test_list_of_another_shape_is_told_without_values(
    run: Run, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = simulator.world
    world.subscribe("label_created_v2", "https://erp.example.net/hook")
    monkeypatch.setattr(Subscription, "webhook_id", property(lambda _: {"x": "a-value"}))

    result = run("ensure", HOME, "--api", "v2", "--json")

    assert (result.exit_code, "webhook_id" in result.stdout, "a-value" in result.stdout) == (
        1,
        True,
        False,
    )


def test_remove_does_not_guess_what_is_ours(run: Run, world: World) -> None:
    world.subscribe("label_created_v2", HOME)

    result = run("remove")

    assert (result.exit_code, len(world.subscriptions)) == (1, 1)
    assert "bridge webhooks remove https://" in result.stderr


def test_api_without_a_key_is_told(run: Run, env: dict[str, str]) -> None:
    del env["BRIDGE_SHIPSTATION_API_KEY"]

    assert (run("ensure", HOME, "--api", "v2").exit_code, run("ensure", HOME).exit_code) == (1, 0)


# What it does


@pytest.mark.parametrize(
    "given", [HOME, "https://bridge.example.com", "https://bridge.example.com/"]
)
def test_every_family_is_subscribed_on_both_apis_once(run: Run, world: World, given: str) -> None:
    first, again = run("ensure", given, "--json"), run("ensure", given, "--json")

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert (set(outcomes(first).values()), set(outcomes(again).values())) == (
        {"created"},
        {"already there"},
    )
    assert sorted(one.event for one in world.subscriptions) == sorted(ALL)
    assert {(one.url, str(one.headers)) for one in world.subscriptions if one.is_v2} == {
        (HOME, str([{"key": "X-Bridge-Token", "value": OLD}]))
    }
    assert {one.url for one in world.subscriptions if not one.is_v2} == {f"{HOME}/{OLD}"}


def test_dry_run_tells_and_does_nothing(run: Run, world: World) -> None:
    result = run("ensure", HOME, "--dry-run", "--json")

    assert (set(outcomes(result).values()), world.subscriptions) == ({"would be created"}, [])


def test_after_a_rotation_ours_gets_the_new_token(run: Run, world: World) -> None:
    theirs = world.subscribe("SHIP_NOTIFY", "https://erp.example.net/hook")
    run("ensure", HOME)
    of(world, "label_created_v2")[0].headers.append({"key": "X-Proxy", "value": "theirs"})

    result = run("ensure", HOME, "--json", token=f"{NEW},{OLD}")

    assert set(outcomes(result).values()) == {"brought up to date"}
    assert sorted(urls(world)) == sorted([theirs.url, *[HOME] * 3, *[f"{HOME}/{NEW}"] * 3])
    assert {"key": "X-Proxy", "value": "theirs"} in of(world, "label_created_v2")[0].headers
    assert all(
        {"key": "X-Bridge-Token", "value": NEW} in one.headers
        for one in world.subscriptions
        if one.is_v2
    )


def test_subscription_made_by_hand_with_the_token_in_its_url_is_good(
    run: Run, world: World
) -> None:
    world.subscribe("label_created_v2", f"{HOME}/{OLD}")
    world.subscribe("ITEM_SHIP_NOTIFY", f"{HOME}/{OLD}")

    result = run("ensure", HOME, "--json")

    assert (outcomes(result)["label_created_v2"], outcomes(result)["ITEM_SHIP_NOTIFY"]) == (
        "already there",
        "already there",
    )
    assert (len(of(world, "label_created_v2")), of(world, "SHIP_NOTIFY")) == (1, [])


def test_v1_subscription_that_was_switched_off_is_made_anew(run: Run, world: World) -> None:
    run("ensure", HOME)
    of(world, "SHIP_NOTIFY")[0].is_active = False

    result = run("ensure", HOME, "--json")

    assert outcomes(result)["SHIP_NOTIFY"] == "brought up to date"
    assert [one.is_active for one in of(world, "SHIP_NOTIFY")] == [True]


def test_stale_one_beside_a_good_one_is_cleared_away(run: Run, world: World) -> None:
    """As when `ensure` was cut off between making the new one and removing the old."""
    world.subscribe("SHIP_NOTIFY", f"{HOME}/{OLD}")
    world.subscribe("SHIP_NOTIFY", f"{HOME}/{NEW}")

    run("ensure", HOME, token=NEW)

    assert [one.url for one in of(world, "SHIP_NOTIFY")] == [f"{HOME}/{NEW}"]


def test_header_that_shipstation_hides_is_written_anew(run: Run, world: World) -> None:
    run("ensure", HOME, "--api", "v2")
    for one in world.subscriptions:
        one.headers = [{"key": "X-Bridge-Token", "value": "****"}]

    run("ensure", HOME, "--api", "v2")

    assert {one.headers[0]["value"] for one in world.subscriptions} == {OLD}


def test_subscriptions_of_one_store_stay_of_that_store(run: Run, world: World) -> None:
    run("ensure", HOME, "--store", "7310045")
    kept = run("ensure", HOME, "--json", token=NEW)

    assert {one.store for one in world.subscriptions} == {7310045}
    assert (set(outcomes(kept).values()), len(world.subscriptions)) == ({"brought up to date"}, 6)


def test_remove_takes_what_ensure_made_and_nothing_else(run: Run, world: World) -> None:
    theirs = world.subscribe("SHIP_NOTIFY", "https://erp.example.net/hook")
    run("ensure", HOME)

    result = run("remove", "--json")

    assert (result.exit_code, world.subscriptions) == (0, [theirs])
    assert sorted(outcomes(result)) == sorted(ALL)
    assert "There was none of ours." in run("remove", HOME).stdout


def test_list_says_which_are_ours(run: Run, world: World) -> None:
    world.subscribe("SHIP_NOTIFY", "https://erp.example.net/hook", name="ERP")
    unknown = told(run("list", "--json"))
    run("ensure", HOME)

    rows = told(run("list", "--json"))

    assert [row["ours"] for row in unknown] == [None]
    assert {row["url"]: row["ours"] for row in rows} == {
        "https://erp.example.net/hook": False,
        HOME: True,
        f"{HOME}/***": True,
    }


def test_nobody_subscribed_is_told(run: Run) -> None:
    assert run("list").stdout == "Nobody is subscribed.\n"
    assert json.loads(run("list", "--json").stdout) == []


def test_who_did_it_stands_in_the_audit_list(run: Run, env: Mapping[str, str]) -> None:
    run("ensure", HOME)
    run("remove")

    acts = told(CliRunner().invoke(main, ["audit", "--json"], env=dict(env)))

    assert [(act["action"], act["subject"], act["outcome"]) for act in acts] == [
        ("webhooks", HOME, "6 removed"),
        ("webhooks", HOME, "6 created"),
    ]


def test_remove_that_failed_forgets_nothing(run: Run, simulator: Simulator) -> None:
    run("ensure", HOME)
    simulator.inject("shipstation.webhooks", "status:503")
    simulator.inject("shipstation_v1.webhooks", "status:503")

    failed, again = run("remove"), run("remove")

    assert (failed.exit_code, again.exit_code, simulator.world.subscriptions) == (1, 0, [])


# The worker's daily look


@pytest.fixture
def look(env: dict[str, str]) -> Iterator[Callable[[], list[str] | None]]:
    """What the periodic task of a worker of its own notes."""

    def look() -> list[str] | None:
        with Services.open(Settings.load(env)) as services:
            tasks = services.worker.periodic_tasks.tasks
            [check] = [task for task in tasks if task.name == "check_subscriptions"]
            check.run(services.stopping)
            with services.database.read() as connection:
                note = shared_state.get(connection, shared_state.LOST)
        return note and note[0]["problems"]

    return look


def test_what_vanished_or_points_elsewhere_is_noted(
    run: Run, world: World, look: Callable[[], list[str]]
) -> None:
    run("ensure", HOME)
    world.subscriptions.remove(of(world, "SHIP_NOTIFY")[0])
    of(world, "label_created_v2")[0].url = "https://erp.example.net/s3cr3t-path"
    of(world, "FULFILLMENT_SHIPPED")[0].is_active = False
    of(world, "fulfillment_shipped_v2")[0].headers = [{"key": "X-Bridge-Token", "value": NEW}]

    assert look() == [
        "ShipStation V2 label_created_v2 goes to https://erp.example.net/***, not to us",
        f"ShipStation V2 fulfillment_shipped_v2 {IS_OFF}",
        "ShipStation V1 SHIP_NOTIFY is not subscribed",
        f"ShipStation V1 FULFILLMENT_SHIPPED {IS_OFF}",
    ]


def test_all_well_is_noted_too_and_a_hidden_header_is_let_pass(
    run: Run, world: World, look: Callable[[], list[str]]
) -> None:
    run("ensure", HOME, "--api", "v2")
    for one in world.subscriptions:
        one.headers = []

    assert look() == []


def test_api_that_refuses_us_is_noted_as_a_problem(
    run: Run, env: dict[str, str], look: Callable[[], list[str]]
) -> None:
    run("ensure", HOME)
    env["BRIDGE_SHIPSTATION_API_KEY"] = "a-key-of-nobody"

    [problem] = look()

    assert problem.startswith(
        "ShipStation V2 does not show its subscriptions: ShipStation V2 webhooks: answered 401"
    )


def test_nothing_is_compared_before_ensure_was_used(look: Callable[[], list[str]]) -> None:
    assert look() == []


# From the subscription to the fulfillment


def test_parcel_arrives_by_what_was_subscribed(stack: Stack) -> None:
    """`ensure`, then two stories: ShipStation itself sends them to our URL with our token, on each
    API."""
    stack.start_both()
    made = CliRunner().invoke(
        main, ["webhooks", "ensure", f"http://127.0.0.1:{stack.port}"], env=stack.environ
    )
    answers = [
        _post(f"{stack.simulator.url}/_simulator/ship/{story}")
        for story in ("v2_label", "v1_label")
    ]
    stack.settle()

    assert (
        made.exit_code,
        [sent for answer in answers for one in answer["webhooks"] for sent in one["answers"]],
    ) == (
        0,
        [{"status": 202}] * 2,
    )
    assert [delivery["status"] for delivery in stack.deliveries()] == ["delivered"] * 2


def _post(url: str) -> dict[str, Any]:
    with urlopen(Request(url, method="POST"), timeout=20) as answer:
        told: dict[str, Any] = json.load(answer)
    return told
