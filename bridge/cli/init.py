"""`bridge init`: asks for the accounts, checks each with its vendor, and writes a `.env` that only
its owner can read."""

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from bridge.operations.doctor import Ear, Finding, vendor
from bridge.settings import PREFIX, Settings, env_example
from bridge.store.engine.database import Database


@dataclass(frozen=True, slots=True)
class Account:
    """What opens one vendor's API: its settings, each with its question, and where the person finds
    it."""

    system: str
    questions: Mapping[str, str]
    where: str


SHIPSTATION = "in ShipStation: Settings > Account > API Settings"
ACCOUNTS = (
    Account(
        "shipstation",
        {"SHIPSTATION_API_KEY": "ShipStation V2 API key"},
        f"{SHIPSTATION}; Enter if you have none",
    ),
    Account(
        "shipstation_v1",
        {
            "SHIPSTATION_V1_API_KEY": "ShipStation V1 API key",
            "SHIPSTATION_V1_API_SECRET": "ShipStation V1 API secret",
        },
        f"{SHIPSTATION}; Enter if V2 is enough",
    ),
    Account(
        "purple_dot",
        {"PURPLE_DOT_ACCESS_TOKEN": "Purple Dot access token"},
        "in Purple Dot's merchant portal: API keys",
    ),
)
NEXT = """
Next:
  1. bridge run                              (keep it running: systemd, a container)
  2. let your proxy pass https://YOUR-HOST/webhooks/shipstation to it
  3. bridge webhooks ensure https://YOUR-HOST
  4. bridge doctor                           (says what is still missing)
"""


@click.command()
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
def init(file: Path, no_input: bool, no_check: bool, force: bool) -> None:
    """Ask for the accounts' keys, check each with its vendor, and write .env, with a new webhook
    token and for your eyes only. Whatever BRIDGE_ settings the environment holds are taken over and
    not asked for. Secrets are neither shown nor taken as arguments."""
    if (
        file.exists()
        and not force
        and (no_input or not click.confirm(f"{file} is there already. Replace it?"))
    ):
        raise click.ClickException(
            f"{file} is left as it was. --force replaces it, --file writes another."
        )
    given = {name: value for name, value in os.environ.items() if name.startswith(PREFIX) and value}
    answers = {PREFIX + "WEBHOOK_TOKENS": secrets.token_urlsafe(32)} | given
    for account in ACCOUNTS:
        is_needed = account.system == "purple_dot" or (
            account.system == "shipstation_v1" and f"{PREFIX}SHIPSTATION_API_KEY" not in answers
        )
        answers |= _ask(account, answers, is_needed=is_needed, no_input=no_input, no_check=no_check)
    Settings.load(answers)  # Raises SettingsError with every mistake; nothing is written then.
    _write(file, _filled(answers))
    click.echo(f"{file} is written, readable by you alone, with a webhook token in it.{NEXT}")


def _ask(
    account: Account, known: Mapping[str, str], *, is_needed: bool, no_input: bool, no_check: bool
) -> dict[str, str]:
    """The account's settings, once the vendor takes them or the person insists."""
    given: Mapping[str, str] = known
    while True:
        answers: dict[str, str] = {}
        for name, question in account.questions.items():
            if not (text := given.get(PREFIX + name, "")) and not no_input:
                hint = "" if answers else f" ({account.where})"
                text = click.prompt(
                    f"{question}{hint}", hide_input=True, default="", show_default=False
                ).strip()
            if not text and not answers and not is_needed:
                return {}
            answers[PREFIX + name] = text
        wrong = [
            text
            for text in Settings.load_lenient({**known, **answers})[1]
            if text.startswith(tuple(f"{name}:" for name in answers))
        ]
        wrong = wrong or [f"{name} is needed" for name, text in answers.items() if not text]
        found = _checked(account, {**known, **answers}) if not (wrong or no_check) else None
        click.echo(
            "\n".join(
                f"  {line}"
                for line in wrong or [f"{found.status}: {found.found}" if found else "not checked"]
            )
        )
        if not wrong and (found is None or found.status == "ok"):
            return answers
        if no_input:
            raise click.ClickException(
                "Nothing was written. Put the right value into the environment, or check nothing with --no-check."
            )
        if not wrong and click.confirm("  Keep it even so?"):
            return answers
        given = {}


def _checked(account: Account, environ: Mapping[str, str]) -> Finding:
    from bridge.services import Services

    settings, _ = Settings.load_lenient(environ)
    ear = Ear(
        uses_budget=False
    )  # There may be no ledger yet: the database is named, and never opened.
    services = Services(settings, Database(settings.database_url), wrap=ear.put_on)
    reads = {"purple_dot": services.purple_dot.sample}
    if services.shipstation_v2 is not None:
        reads["shipstation"] = services.shipstation_v2.subscriptions().sample
    if services.shipstation_v1 is not None:
        reads["shipstation_v1"] = services.shipstation_v1.subscriptions().sample
    return vendor(account.system, "", reads[account.system])


def _filled(answers: Mapping[str, str]) -> str:
    """deploy/env.example with these values in it."""
    text = env_example()
    for name, value in answers.items():
        if "${" in value:
            raise click.ClickException(
                f"{name} holds ${{, which no .env can hold as it is. Choose another, or keep it in the environment."
            )
        plain = re.fullmatch(r"[\w.,:/@%+^?=-]*", value, re.ASCII)
        quoted = value if plain else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        line = f"{name}={quoted}".replace("\\", r"\\")
        text = re.sub(rf"^(?:# )?{name}=.*$", line, text, flags=re.MULTILINE)
    return text


def _write(file: Path, text: str) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(
            os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8"
        ) as stream:
            stream.write(text)
        draft.replace(file)
    except OSError as exc:
        with suppress(OSError):
            draft.unlink()
        raise click.ClickException(f"{file} can't be written: {exc.strerror}.") from exc
