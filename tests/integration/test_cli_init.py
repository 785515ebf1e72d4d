"""`bridge init`: what it writes opens the door, what it must not overwrite stays, and no secret is
shown."""

import os
import pty
import select
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.settings import Settings
from bridge.simulator import Simulator
from tests.support.waiting import wait_until

pytest_plugins = ["tests.support.simulator_fixtures"]

Init = Callable[..., Result]

ENTER = ""


@pytest.fixture
def where(simulator: Simulator) -> dict[str, str]:
    """The vendors' addresses, without any credential."""
    return {name: value for name, value in simulator.env().items() if name.endswith("URL")}


@pytest.fixture
def init(where: Mapping[str, str]) -> Init:
    def init(
        *arguments: str, answers: tuple[str, ...] = (), env: Mapping[str, str] | None = None
    ) -> Result:
        return CliRunner().invoke(
            main,
            ["init", *arguments],
            input="".join(f"{one}\n" for one in answers),
            env={**where, **(env or {})},
        )

    return init


def written() -> Settings:
    """The settings of a bridge that is started in this folder."""
    return Settings.load()


V2, V1, V1_SECRET, PD = (
    "simulator-v2-key",
    "simulator-v1-key",
    "simulator-v1-secret",
    "simulator-purple-dot-token",
)
SECRETS = (V2, V1, V1_SECRET, PD)


# What must not happen


@pytest.mark.parametrize(
    ("arguments", "answers"), [([], ("n",)), (["--no-input"], ()), ([], (ENTER,))]
)
def test_file_that_is_there_is_left_as_it_was(
    init: Init, simulator: Simulator, arguments: list[str], answers: tuple[str, ...]
) -> None:
    Path(".env").write_text("BRIDGE_LOG_LEVEL=DEBUG\n")

    result = init(*arguments, answers=answers, env=simulator.env())

    assert (result.exit_code, Path(".env").read_text()) == (1, "BRIDGE_LOG_LEVEL=DEBUG\n")
    assert "--force" in result.output


def test_key_that_the_vendor_refuses_is_asked_for_again(init: Init) -> None:
    result = init(answers=("a-wrong-key", "n", V2, ENTER, PD))

    assert result.exit_code == 0, result.output
    assert "answered 401" in result.output
    assert (
        str(written().shipstation_api_key and written().shipstation_api_key.get_secret_value())
        == V2
    )


def test_key_of_a_form_that_can_not_be_right_is_asked_for_again(init: Init) -> None:
    result = init(answers=("has a space", V2, ENTER, PD))

    assert result.exit_code == 0
    assert "BRIDGE_SHIPSTATION_API_KEY: holds a space" in result.output


def test_vendor_that_can_not_be_asked_does_not_stop_a_person_who_insists(
    init: Init, simulator: Simulator
) -> None:
    simulator.inject("purple_dot.orders", "status:503")

    result = init(answers=(V2, ENTER, PD, "y"))

    assert (result.exit_code, written().purple_dot_access_token.get_secret_value()) == (0, PD)


def test_one_of_the_two_shipstation_apis_is_needed(init: Init) -> None:
    result = init(answers=(ENTER, ENTER, ENTER, V1, V1_SECRET, PD))

    assert result.exit_code == 0, result.output
    assert "BRIDGE_SHIPSTATION_V1_API_KEY is needed" in result.output
    assert (written().shipstation_api_key, bool(written().shipstation_v1_api_key)) == (None, True)


def test_answers_that_end_early_write_nothing(init: Init) -> None:
    result = init(answers=(V2,))

    assert (result.exit_code, Path(".env").exists()) == (1, False)


@pytest.mark.parametrize(
    "missing", ["BRIDGE_PURPLE_DOT_ACCESS_TOKEN", "BRIDGE_SHIPSTATION_V1_API_SECRET"]
)
def test_without_input_what_is_missing_or_refused_writes_nothing(
    init: Init, simulator: Simulator, missing: str
) -> None:
    given = {name: value for name, value in simulator.env().items() if name != missing}

    for env, exit_code in ((given, 2), (given | {missing: "a-secret-of-nobody"}, 1)):
        result = init("--no-input", env=env)
        assert (result.exit_code, Path(".env").exists()) == (exit_code, False)
        assert "a-secret-of-nobody" not in result.output


def test_without_input_all_that_is_missing_is_named_at_once_and_v2_first(init: Init) -> None:
    result = init("--no-input")

    assert result.exit_code == 2
    assert "BRIDGE_SHIPSTATION_API_KEY: is missing, and so is the V1 pair" in result.output
    assert "BRIDGE_PURPLE_DOT_ACCESS_TOKEN: is missing" in result.output


def test_console_password_and_secret_key_are_made_and_not_shown(init: Init) -> None:
    result = init(answers=(V2, ENTER, PD))

    settings = written()
    assert settings.console_password is not None
    assert settings.secret_key is not None
    assert settings.console_password.get_secret_value() not in result.output
    assert settings.secret_key.get_secret_value() not in result.output


def test_secret_in_a_file_is_not_asked_for(
    init: Init, simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(PD)
    given = simulator.env()
    del given["BRIDGE_PURPLE_DOT_ACCESS_TOKEN"]
    name = "BRIDGE_PURPLE_DOT_ACCESS_TOKEN_FILE"

    result = init("--no-input", env=given | {name: str(tmp_path / "token")})

    assert result.exit_code == 0, result.output
    assert written().purple_dot_access_token.get_secret_value() == PD


def test_every_setting_is_printed_with_its_default(init: Init, project: Path) -> None:
    example = (project / "deploy" / "env.example").read_text()

    assert init("--print").output == example
    assert not Path(".env").exists()


def test_another_mistake_in_the_environment_is_told_and_nothing_is_written(
    init: Init, simulator: Simulator
) -> None:
    result = init("--no-input", env=simulator.env() | {"BRIDGE_HOLD_SECONDS": "soon"})

    assert (result.exit_code, Path(".env").exists()) == (2, False)
    assert "BRIDGE_HOLD_SECONDS" in result.output


def test_value_that_no_env_file_can_hold_is_refused(init: Init, simulator: Simulator) -> None:
    result = init(
        "--no-input", env=simulator.env() | {"BRIDGE_CONSOLE_PASSWORD": "a${HOME}b-password"}
    )

    assert (result.exit_code, Path(".env").exists()) == (1, False)
    assert "a${HOME}b" not in result.output


def test_folder_that_can_not_be_written_is_told(init: Init, simulator: Simulator) -> None:
    result = init("--no-input", "--file", "missing/.env", env=simulator.env())

    assert (result.exit_code, "can't be written" in result.output) == (1, True)


# What it does


def test_what_is_written_opens_both_vendors_and_a_new_door(
    init: Init, where: Mapping[str, str]
) -> None:
    result = init(answers=(V2, V1, V1_SECRET, PD))

    settings = written()
    [token] = settings.webhook_tokens
    assert result.exit_code == 0, result.output
    assert (settings.shipstation_base_url, len(token.get_secret_value()) >= 40) == (
        where["BRIDGE_SHIPSTATION_BASE_URL"],
        True,
    )
    assert stat.S_IMODE(Path(".env").stat().st_mode) == 0o600
    assert [path.name for path in Path().iterdir()] == [".env"]  # neither a draft nor a database
    assert not any(secret in result.output for secret in (*SECRETS, token.get_secret_value()))
    assert "bridge webhooks ensure" in result.output
    assert (
        CliRunner().invoke(main, ["webhooks", "ensure", "https://bridge.example.com"]).exit_code
        == 0
    )


def test_two_bridges_get_two_tokens(init: Init, simulator: Simulator) -> None:
    tokens = set()
    for _ in range(2):
        init("--no-input", "--force", env=simulator.env())
        tokens.add(written().webhook_tokens[0].get_secret_value())

    assert len(tokens) == 2


def test_everything_may_come_from_the_environment(init: Init, simulator: Simulator) -> None:
    odd = 'o\'x \\ $HOME #a "b"'
    given = {
        "BRIDGE_WEBHOOK_TOKENS": "a-token-of-the-tests",
        "BRIDGE_CONSOLE_PASSWORD": odd,
        "BRIDGE_REFERENCE_PATTERN": r"^PD\d+",
    }

    result = init("--no-input", env=simulator.env() | given)

    settings = written()
    assert result.exit_code == 0, result.output
    assert settings.console_password
    assert settings.console_password.get_secret_value() == odd
    assert settings.reference_pattern
    assert settings.reference_pattern.pattern == r"^PD\d+"
    assert settings.webhook_tokens[0].get_secret_value() == "a-token-of-the-tests"


def test_without_check_no_vendor_is_asked(init: Init, simulator: Simulator) -> None:
    result = init(
        "--no-input",
        "--no-check",
        env=simulator.env() | {"BRIDGE_SHIPSTATION_API_KEY": "a-key-for-later"},
    )

    assert (result.exit_code, simulator.world.calls) == (0, [])


def test_file_is_replaced_when_the_person_says_so(init: Init) -> None:
    Path(".env").write_text("old")

    result = init(answers=("y", V2, ENTER, PD))

    assert (result.exit_code, "BRIDGE_WEBHOOK_TOKENS=" in Path(".env").read_text()) == (0, True)


def test_at_a_terminal_secrets_are_not_echoed(where: Mapping[str, str], tmp_path: Path) -> None:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")
    } | dict(where)
    terminal, end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "bridge", "init"],
        stdin=end,
        stdout=end,
        stderr=end,
        env=environ,
        cwd=tmp_path,
    )
    os.close(end)
    seen = ""

    def read() -> str:
        nonlocal seen
        if select.select([terminal], [], [], 0)[0]:
            with suppress(OSError):  # Linux says so when the other end is closed.
                seen += os.read(terminal, 4096).decode()
        return seen

    try:
        for question, answer in (
            ("V2 API key (", V2),
            ("V1 API key (", ENTER),
            ("Purple Dot access token (", PD),
            ("Begin with a dry run", "y"),
            ("Send alerts to", "nowhere"),
            ("is no Apprise URL", ENTER),
            ("Public address", "https://hooks.example.com/"),
            ("Point ShipStation's webhooks to", "n"),
        ):
            wait_until(
                lambda question=question: question in read() and seen.rstrip().endswith(":"),
                20,
                f"the question for the {question}",
            )
            os.write(terminal, f"{answer}\n".encode())
        wait_until(lambda: read() is None or child.poll() is not None, 20, "init to end")
        read()
    finally:
        child.kill()
        child.wait()
        os.close(terminal)

    assert (tmp_path / ".env").exists(), seen
    assert "BRIDGE_DRY_RUN=true" in (tmp_path / ".env").read_text()
    assert "webhooks ensure https://hooks.example.com\r\n" in seen
    assert not any(secret in seen for secret in SECRETS)


def test_answer_of_any_form_is_no_stack_trace(init: Init) -> None:
    result: Any = init(answers=("\x00\x07ключ", V2, ENTER, PD))

    assert result.exit_code == 0, result.output
