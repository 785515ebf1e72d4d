"""README and docs/ say what the code does: their tables, commands, routes, links and examples are
held against it."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from flask import Flask

from bridge.cli import main
from bridge.domain.reasons import MEANINGS, Reason
from bridge.settings import SECRETS, Settings, env_example
from bridge.vendors.shipstation import webhook
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.web.app import create_app
from tests.support.commands import COMMANDS

PROJECT = Path(__file__).parents[2]


def read(name: str) -> str:
    """A page of ours, by its path from the top."""
    return (PROJECT / name).read_text(encoding="utf-8")


PAGES = [
    "README.md",
    "CHANGELOG.md",
    *sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md")),
    *sorted(f"deploy/{path.name}" for path in (PROJECT / "deploy").glob("*.md")),
    *sorted(f".github/{path.name}" for path in (PROJECT / ".github").glob("*.md")),
]
README = read("README.md")
VERIFICATION = read("docs/verification.md")
RECIPES = read("deploy/shipstation.md")
SETTINGS = {
    "BRIDGE_WEBHOOK_TOKENS": "t0ken-of-the-front-door",
    "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd-access-7c1",
    "BRIDGE_SHIPSTATION_API_KEY": "v2-key-95d",
}


def section(page: str, heading: str) -> str:
    """What stands between this heading and the next of its rank."""
    rank = heading.partition(" ")[0]
    return read(page).partition(f"{heading}\n")[2].partition(f"\n{rank} ")[0]


def table(page: str, heading: str, number: int = 0) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    [*tables] = re.findall(r"(?:^\|.*\n)+", section(page, heading) + "\n", re.MULTILINE)
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in tables[number].splitlines()[2:]
    ]


def code(text: str) -> list[str]:
    """What stands between backticks in a text."""
    return re.findall(r"`([^`\n]+)`", text)


# Tables


def test_table_of_settings_is_the_codes() -> None:
    defaults = dict(re.findall(r"^(?:# )?(BRIDGE_\w+)=(.*)$", env_example(), re.MULTILINE))
    expected = [
        [
            f"`BRIDGE_{name.upper()}`",
            _default(defaults[f"BRIDGE_{name.upper()}"], is_required=field.is_required()),
            field.description,
        ]
        for name, field in Settings.model_fields.items()
    ]

    assert table("docs/settings.md", "# Settings") == expected


def _default(written: str, *, is_required: bool) -> str:
    return "required" if is_required else f"`{written}`" if written else "none"


def test_settings_that_nothing_uses_yet_are_named() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in (PROJECT / "bridge").rglob("*.py")
    )
    unused = [
        name for name in Settings.model_fields if not re.search(rf"settings\.{name}\b", source)
    ]
    _, _, admitted = section("docs/settings.md", "# Settings").partition(
        "not used by anything yet: "
    )

    assert code(admitted.partition(".")[0]) == [f"BRIDGE_{name.upper()}" for name in unused]


def test_table_of_event_types_is_the_codes() -> None:
    assert table("docs/reference.md", "## Event types") == [
        [f"`{row.name}`", row.family, row.meaning] for row in EVENT_TYPES.values()
    ]


@pytest.mark.parametrize("reason", Reason)
def test_reasons_page_says_what_the_console_and_the_commands_say(reason: Reason) -> None:
    meaning = MEANINGS[reason]
    paragraphs = section("docs/reasons.md", f"### {meaning.title}").split("\n\n")

    assert f"`{reason}`: {meaning.sentence}" in [text.strip() for text in paragraphs]
    assert any(text.startswith("*Usual cause:* ") for text in paragraphs)
    for step in (meaning.console_step, meaning.shell_step):
        assert any(text.strip().endswith(f":* {step}") for text in paragraphs), step


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return create_app(
        Settings.load(SETTINGS | {"BRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'bridge.db'}"})
    )


def test_table_of_routes_is_the_codes(app: Flask) -> None:
    rules = [
        (method, str(rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]

    assert sorted(row[0] for row in table("docs/reference.md", "## HTTP")) == sorted(
        f"`{method} {rule}`" for method, rule in rules
    )


# Commands


def test_table_of_commands_names_every_command() -> None:
    assert {code(row[0])[0].split()[1] for row in table("docs/reference.md", "## Commands")} == set(
        COMMANDS
    )


@pytest.mark.parametrize("row", table("docs/reference.md", "## Commands"), ids=lambda row: row[0])
def test_options_in_the_table_of_commands_exist(row: list[str]) -> None:
    command = COMMANDS[code(row[0])[0].split()[1]]
    known = {option for parameter in command.params for option in parameter.opts}

    assert {
        option for text in row for span in code(text) for option in re.findall(r"--[\w-]+", span)
    } <= known


def command_lines() -> list[str]:
    """Every `bridge ...` that stands in code, in a sentence or on a line of its own."""
    texts = []
    for page in PAGES:
        text = read(page)
        texts += code(text)
        blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
        texts += [line.strip() for block in blocks for line in block.splitlines()]
    commands = [text.removeprefix(".venv/bin/").partition(" #")[0] for text in texts]
    return sorted({command for command in commands if re.match(r"bridge [a-z]", command)})


@pytest.mark.parametrize("line", command_lines())
def test_command_line_is_understood(line: str) -> None:
    there = str(PROJECT / "README.md")
    _, name, *arguments = [there if word == "FILE" else word for word in shlex.split(line)]

    command = COMMANDS[name]
    if arguments:  # A bare name only speaks of the command.
        # Under its parent, as when it is called: click keeps the first help option it makes, and
        # `-h` comes from there.
        command.make_context(
            name, arguments, parent=click.Context(main, **main.context_settings)
        ).close()


def test_targets_of_make_exist() -> None:
    targets = set(
        re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )

    named = {
        text.split()[1] for page in PAGES for text in code(read(page)) if text.startswith("make ")
    }

    assert named <= targets


# Links and size


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (PROJECT / page).parent
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", read(page))

    lost = [link for link in links if not _is_there(folder, PROJECT / page, link)]

    assert lost == []


def _is_there(folder: Path, page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (folder / name).resolve() if name else page
    if not anchor:
        return target.exists()
    return target.exists() and anchor in anchors(target.read_text(encoding="utf-8"))


def test_files_named_in_the_pages_exist() -> None:
    spans = [span for page in PAGES for span in code(read(page)) if page != "CHANGELOG.md"]
    folders = r"(bridge|deploy|docs|tests|\.github|\.ci)/[\w/.-]+"
    at_the_top = r"pyproject\.toml|Makefile|wsgi\.py|[A-Z]+\.md|[\w-]+\.lock"
    names = [span for span in spans if re.fullmatch(f"{folders}|{at_the_top}", span)]

    assert [name for name in names if not (PROJECT / name).exists()] == []
    assert len(names) > 10


@pytest.mark.parametrize("page", PAGES)
def test_settings_named_in_a_page_exist(page: str) -> None:
    names = {f"BRIDGE_{name.upper()}" for name in Settings.model_fields}
    files = {f"BRIDGE_{name.upper()}_FILE" for name in SECRETS}

    named = set(re.findall(r"\bBRIDGE_[A-Z][A-Z0-9_]*[A-Z0-9]", read(page)))

    assert named <= names | files


def test_readme_is_a_screen_and_a_half() -> None:
    assert len(README.split()) <= 1300


# Examples


def bodies() -> list[str]:
    """What the curl lines send."""
    return re.findall(r"-d '(\{.*?\})'\n", RECIPES + README, re.DOTALL)


@pytest.mark.parametrize("body", bodies())
def test_bodies_of_the_curl_lines_are_json(body: str) -> None:
    assert isinstance(json.loads(body), dict)


def test_bodies_that_are_sent_to_the_bridge_are_notifications() -> None:
    notifications = [
        webhook.identify(body.encode())
        for body in bodies()
        if "resource_type" in body or "fulfillments" in body
    ]

    assert [notification.event_type for notification in notifications] == ["INLINE_FULFILLMENTS"]


# What docs/verification.md points at


def test_every_test_that_verification_names_exists() -> None:
    named = [span.partition("::") for span in code(VERIFICATION) if span.startswith("tests/")]

    lost = [
        (file, test)
        for file, _, test in named
        if not re.search(rf"^def {test or 'test_'}", _text(file), re.MULTILINE)
    ]

    assert lost == []
    assert len(named) > 40


def _text(file: str) -> str:
    path = PROJECT / file
    return path.read_text(encoding="utf-8") if path.exists() else ""
