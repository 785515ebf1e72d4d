"""The settings as a table for people: the rows that README shows, and deploy/env.example.

After a change of the settings: `python -m bridge.settings.example > deploy/env.example`.
"""

import sys
import textwrap
from dataclasses import dataclass

from bridge.settings import Settings
from bridge.settings.problems import PREFIX
from bridge.settings.values import as_written

HEAD = """\
# Copy to .env (read from the folder where `bridge` is started), or hand it to systemd, Docker or Kubernetes.
# What is commented out shows its default. Mistakes are told at the start, all at once.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """`default` is the text an operator would write; None where there is none. `is_required` refuses the start when it is missing."""

    name: str
    default: str | None
    meaning: str
    is_required: bool


def rows() -> tuple[Row, ...]:
    """Every setting, in the order of the table."""
    return tuple(
        Row(
            name=PREFIX + attribute.upper(),
            default=None if field.is_required() else as_written(field.default),
            meaning=field.description or "",
            is_required=field.is_required(),
        )
        for attribute, field in Settings.model_fields.items()
    )


def env_example() -> str:
    """The whole of deploy/env.example."""
    return HEAD + "".join(f"\n{_comment(row)}\n{_assignment(row)}\n" for row in rows())


def _comment(row: Row) -> str:
    sentence = f"{row.meaning[0].upper()}{row.meaning[1:]}.{' Required.' if row.is_required else ''}"
    return textwrap.fill(sentence, width=110, initial_indent="# ", subsequent_indent="# ")


def _assignment(row: Row) -> str:
    return f"{'' if row.is_required else '# '}{row.name}={row.default or ''}"


if __name__ == "__main__":
    sys.stdout.write(env_example())
