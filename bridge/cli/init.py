"""`bridge init`: asks for the accounts, checks each with its vendor, and writes a `.env` that only
its owner can read."""

import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.output import for_people, is_terminal
from bridge.domain.errors import SettingsError

if TYPE_CHECKING:
    from bridge.operations.doctor import Finding

PREFIX = "BRIDGE_"


@dataclass(frozen=True, slots=True)
class Account:
    """What opens one vendor's API: its settings, each with its question, and where the person finds
    it."""

    system: str
    questions: Mapping[str, str]
    where: str


_SHIPSTATION = "in ShipStation: Settings > Account > API Settings"
ACCOUNTS = (
    Account(
        "shipstation",
        {"SHIPSTATION_API_KEY": "ShipStation V2 API key"},
        f"{_SHIPSTATION}; Enter if you have none",
    ),
    Account(
        "shipstation_v1",
        {
            "SHIPSTATION_V1_API_KEY": "ShipStation V1 API key",
            "SHIPSTATION_V1_API_SECRET": "ShipStation V1 API secret",
        },
        f"{_SHIPSTATION}; Enter if V2 is enough",
    ),
    Account(
        "purple_dot",
        {"PURPLE_DOT_ACCESS_TOKEN": "Purple Dot access token"},
        "in Purple Dot's merchant portal: API keys",
    ),
)
_NEXT = """
Next:
  1. bridge run                              (keep it running: systemd, a container)
  2. let your proxy pass {home}/webhooks/shipstation to it
  3. bridge webhooks ensure {home}
  4. bridge doctor                           (says what is still missing)
"""


@click.command(
    epilog="""\b
    Examples:
      bridge init
      bridge init --no-input --file /etc/bridge/.env
      bridge init --print     every setting with its default
    """
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".env"),
    show_default=True,
    help="What to write.",
)
@click.option(
    "--no-input",
    is_flag=True,
    help="Ask nothing: take what is in the environment (BRIDGE_...), and fail where that won't do.",
)
@click.option(
    "--no-check", is_flag=True, help="Don't ask the vendors whether they take the credentials."
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option(
    "--print", "is_printed", is_flag=True, help="Print every setting with its default; write none."
)
def init(file: Path, no_input: bool, no_check: bool, force: bool, is_printed: bool) -> None:
    """Ask for the accounts' keys, check each with its vendor, and write .env for your eyes only,
    with a new webhook token, console password and secret key. Whatever BRIDGE_ settings the
    environment holds are taken over and not asked for. Secrets are neither shown nor taken as
    arguments."""
    from bridge.settings import Settings, env_example

    if is_printed:
        click.echo(env_example(), nl=False)
        return
    _refuse_to_replace(file, force=force, no_input=no_input)
    answers = _made_secrets() | {
        name: value for name, value in os.environ.items() if name.startswith(PREFIX) and value
    }
    if no_input:
        Settings.load(answers)  # Every missing one at once, before a vendor is asked.
    for account in ACCOUNTS:
        answers |= _ask(account, answers, no_input=no_input, no_check=no_check)
    asks_more = is_terminal(sys.stdin) and not no_input
    address = _ask_more(answers) if asks_more else ""
    Settings.load(answers)  # Raises SettingsError with every mistake; nothing is written then.
    _write(file, _filled(answers))
    made = "a webhook token, a console password and a secret key"
    steps = _NEXT.format(home=address.rstrip("/") or "https://YOUR-HOST")
    click.echo(for_people(f"{file} is written, readable by you alone, with {made} in it.{steps}"))
    if address and file.absolute() == Path(".env").absolute():
        _offer_subscriptions(address)


def _refuse_to_replace(file: Path, *, force: bool, no_input: bool) -> None:
    if not file.exists() or force:
        return
    if no_input or not click.confirm(f"{file} is there already. Replace it?"):
        raise click.ClickException(
            f"{file} is left as it was. --force replaces it, --file writes another."
        )


def _made_secrets() -> dict[str, str]:
    return {
        f"{PREFIX}WEBHOOK_TOKENS": secrets.token_urlsafe(32),
        f"{PREFIX}CONSOLE_PASSWORD": secrets.token_urlsafe(15),
        f"{PREFIX}SECRET_KEY": secrets.token_urlsafe(32),
    }


def _ask(
    account: Account, so_far: Mapping[str, str], *, no_input: bool, no_check: bool
) -> dict[str, str]:
    """The account's settings, once the vendor takes them or the person insists; empty for one that
    the person doesn't have."""
    if any(f"{PREFIX}{name}_FILE" in so_far for name in account.questions):
        return {}  # What stands in a file was read with the other settings.
    has_v2 = any(name.startswith(f"{PREFIX}SHIPSTATION_API_KEY") for name in so_far)
    is_needed = account.system == "purple_dot" or (account.system != "shipstation" and not has_v2)
    given = so_far
    while True:
        answers = _answers(account, given, no_input=no_input)
        if not any(answers.values()) and not is_needed:
            return {}
        problems = _problems({**so_far, **answers}, answers)
        finding = None
        if not (problems or no_check):
            finding = _checked(account, {**so_far, **answers})
        result = f"{finding.status}: {finding.found}" if finding else "not checked"
        click.echo("\n".join(f"  {for_people(line)}" for line in problems or [result]))
        if not problems and (finding is None or finding.status == "ok"):
            return answers
        if no_input:
            raise click.ClickException(
                "Nothing was written. Put the right value into the environment, or check nothing"
                " with --no-check."
            )
        if not problems and click.confirm("  Keep it even so?"):
            return answers
        given = {}


def _answers(account: Account, given: Mapping[str, str], *, no_input: bool) -> dict[str, str]:
    """What is given, or asked for; nothing more of an account whose first answer is empty."""
    answers: dict[str, str] = {}
    for name, question in account.questions.items():
        text = given.get(PREFIX + name, "")
        if not text and not no_input:
            hint = "" if answers else f" ({account.where})"
            text = click.prompt(
                f"{question}{hint}", hide_input=True, default="", show_default=False
            ).strip()
        answers[PREFIX + name] = text
        if not text and len(answers) == 1:
            break
    return answers


def _problems(environ: Mapping[str, str], answers: Mapping[str, str]) -> list[str]:
    """What is wrong with these answers."""
    from bridge.settings import Settings

    names = tuple(f"{name}:" for name in answers)
    problems = [text for text in Settings.load_lenient(environ)[1] if text.startswith(names)]
    return problems or [f"{name} is needed" for name, text in answers.items() if not text]


def _checked(account: Account, environ: Mapping[str, str]) -> "Finding":
    from bridge.operations import doctor
    from bridge.services import Services
    from bridge.settings import Settings
    from bridge.store.engine.database import Database

    settings, _ = Settings.load_lenient(environ)
    # There may be no database yet: it is named, and never opened.
    probe = doctor.ClockSkewProbe(uses_budget=False)
    services = Services(settings, Database(settings.database_url), wrap=probe.attach)
    reads = {"purple_dot": services.purple_dot.sample}
    if services.shipstation_v2 is not None:
        reads["shipstation"] = services.shipstation_v2.subscriptions().sample
    if services.shipstation_v1 is not None:
        reads["shipstation_v1"] = services.shipstation_v1.subscriptions().sample
    return doctor.vendor(account.system, "", reads[account.system])


def _ask_more(answers: dict[str, str]) -> str:
    """What is not needed and often wanted; added to the answers. Returns the public address."""
    if f"{PREFIX}DRY_RUN" not in answers:
        question = "Begin with a dry run, which decides and shows but posts nothing?"
        answers[f"{PREFIX}DRY_RUN"] = str(click.confirm(question, default=False)).lower()
    name = f"{PREFIX}ALERT_URLS"
    while name not in answers:
        hint = "an Apprise URL, such as mailto://… or slack://…; Enter for none"
        text = click.prompt(f"Send alerts to ({hint})", default="", show_default=False).strip()
        if not text:
            break
        problems = _problems({**answers, name: text}, {name: text})
        if not problems:
            answers[name] = text
            break
        click.echo("\n".join(f"  {for_people(problem)}" for problem in problems))
    address: str = click.prompt(
        "Public address of this bridge (https://…; Enter for later)",
        default="",
        show_default=False,
    )
    return address.strip()


def _offer_subscriptions(address: str) -> None:
    """Only now: what is subscribed must find its token in the file."""
    from bridge.cli.webhooks import ensure

    if not click.confirm(f"Point ShipStation's webhooks to {address} now?", default=True):
        return
    try:
        ensure.main([address], standalone_mode=False)
    except SettingsError as exc:
        raise click.ClickException(for_people(str(exc))) from exc


def _filled(answers: Mapping[str, str]) -> str:
    """deploy/env.example with these values in it."""
    from bridge.settings import env_example

    text = env_example()
    for name, value in answers.items():
        if "${" in value:
            raise click.ClickException(
                f"{name} holds ${{, which no .env can hold as it is. Choose another, or keep it in"
                " the environment."
            )
        is_plain = re.fullmatch(r"[\w.,:/@%+^?=-]*", value, re.ASCII)
        quoted = value
        if not is_plain:
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            quoted = f"'{escaped}'"
        line = f"{name}={quoted}".replace("\\", r"\\")
        text, count = re.subn(rf"^(?:# )?{name}=.*$", line, text, flags=re.MULTILINE)
        if not count:  # Such as the name of a file with a secret in it.
            text += f"\n{name}={quoted}\n"
    return text


def _write(file: Path, text: str) -> None:
    from bridge.store.engine.files import replaced

    try:
        with replaced(file) as draft:
            draft.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise click.ClickException(f"{file} can't be written: {exc.strerror}.") from exc
