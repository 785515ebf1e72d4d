"""The lower bounds of pyproject.toml as constraints for pip: `python -m tests.support.lowest_versions >
constraints.txt`. What `make lowest` installs."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def lowest(project: dict[str, Any]) -> list[str]:
    """`name==bound` for whatever comes with the project or its extras, save what only develops.
    ValueError where there is none."""
    extras = [lines for extra, lines in project["optional-dependencies"].items() if extra != "dev"]
    return [_exactly(line) for lines in [project["dependencies"], *extras] for line in lines]


def _exactly(requirement: str) -> str:
    found = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\d.]+)", requirement)
    if found is None:
        raise ValueError(
            f"{requirement!r} has no lower bound that could be tried; write it as name>=version"
        )
    return f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    sys.stdout.write(
        "\n".join(lowest(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"])) + "\n"
    )
