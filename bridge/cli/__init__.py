"""The commands, one file each, named like the command. `commands` lists them. Several share
`context`, `options`, `output`, `listing` and `repair`; `rehearsal` is the dry run of `replay`;
`processes`, `supervisor` and `server` start what runs."""

import difflib
import errno
import sys
from importlib import import_module
from typing import Any, NoReturn
from zoneinfo import ZoneInfoNotFoundError

import click
from click.shell_completion import CompletionItem

from bridge import __version__
from bridge.cli.commands import COMMANDS, GROUPS, OTHER_WORDS
from bridge.cli.output import for_people, own_name
from bridge.domain.errors import BridgeError, MissingDatabaseError, SettingsError, StorageError

_EXAMPLES = """\b
Examples:
  bridge find 1ZB7X0410366666666      a parcel, however its number is written
  bridge exceptions                   what waits for a person
  bridge explain PD1391279            why it was posted, held or ignored

\b
Tab completion: eval "$(_BRIDGE_COMPLETE=bash_source bridge)"
"""

_DISTRIBUTIONS = {"dotenv": "python-dotenv", "psycopg": "psycopg[binary]"}
"""What is installed, where it is called otherwise than what is imported."""


class _Commands(click.Group):
    """Loads the file of the command that is called, and reports every error of ours in a sentence,
    never as a stack trace."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature is click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # the same
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"bridge.cli.{cmd_name}"), cmd_name)
        command.help = own_name(command.help or "")
        command.epilog = own_name(command.epilog or "")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            _fail_for_unknown(name, ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=COMMANDS[name]) for name in names), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # the same
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_spacing=3)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.epilog = own_name(_EXAMPLES)
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as exc:
            problems = "".join(f"\n  - {for_people(problem)}" for problem in exc.problems)
            hint = for_people("`bridge init` asks for them; `bridge init --print` lists all.")
            click.echo(f"The settings are not right yet:{problems}\n{hint}", err=True)
            ctx.exit(2)
        except MissingDatabaseError as exc:
            raise click.UsageError(for_people(f"{exc}.")) from exc
        except StorageError as exc:
            hint = "Is BRIDGE_DATABASE_URL right, and the database up? `bridge doctor` says more."
            raise click.ClickException(for_people(f"{exc}. {hint}")) from exc
        except BridgeError as exc:
            raise click.ClickException(for_people(str(exc))) from exc
        except (ModuleNotFoundError, ZoneInfoNotFoundError) as exc:
            raise click.ClickException(for_people(_missing_package(exc))) from exc
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise
            raise click.ClickException("The disk is full: what it says can't be written.") from exc
        except UnicodeEncodeError as exc:
            # What was typed in another encoding is in no database, and can't even be looked for.
            raise click.UsageError("An argument holds bytes that are no text in UTF-8.") from exc


def _missing_package(error: ModuleNotFoundError | ZoneInfoNotFoundError) -> str:
    """The zones of the world are a package, too, where the system has none."""
    name = "tzdata"
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        if name == "bridge":
            raise error  # Our own mistake, which must be seen as it is.
    return (
        f"The Python package {name} is missing. Install it where the bridge is installed:"
        f" `{sys.executable} -m pip install '{_DISTRIBUTIONS.get(name, name)}'`."
    )


def _fail_for_unknown(name: str, ctx: click.Context) -> NoReturn:
    similar = difflib.get_close_matches(name, [*COMMANDS, *OTHER_WORDS], n=1, cutoff=0.6)
    meant = OTHER_WORDS.get(name) or next(iter(similar), None)
    meant = OTHER_WORDS.get(meant or "", meant)
    hint = f" Did you mean {meant!r}?" if meant else ""
    raise click.NoSuchCommand(name, for_people(f"There is no command {name!r}.{hint}"), ctx=ctx)


@click.group(
    "bridge",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="bridge")
def main() -> None:
    """Posts to Purple Dot what ShipStation shipped: each parcel once, with the right items, carrier
    and tracking number."""
