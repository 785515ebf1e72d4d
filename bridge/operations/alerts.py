"""What a person must be alerted of, and when: once per change, grouped, and again when it is over.
Pure: what was read goes in, messages come out."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.domain.reasons import MEANINGS, Reason
from bridge.vendors.http import SYSTEMS

WEEKS = 6
"""How far back the account's own rhythm is learned."""
_WEEKS_NEEDED = 3
_TYPICAL_AT_LEAST = 5
SILENT_AT_LEAST = timedelta(hours=1)
STALLED_AFTER = timedelta(minutes=10)
_LONG_PAUSE = timedelta(minutes=10)
_MAX_SENTENCES = 12
_MAX_LINKS = 5


class Key(NamedTuple):
    """Names one problem, so that it is sent once. What has `kind` and `about` in common is one
    group, and ends together."""

    kind: str
    about: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person should know of. Problems of one sentence are counted; `name` tells
    them apart (an order, a tracking number), and `page` is where each is shown in the console."""

    key: Key
    sentence: str
    name: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a group is headed when it begins, and when it is over; where to look: a page of the
    console, and a command."""

    begun: str
    over: str
    page: str
    command: str


KINDS = {
    "exception": Kind(
        "{n} new exception{s}", "No exception is left", "exceptions", "bridge exceptions"
    ),
    "vendor": Kind("{about} can't be called", "{about} can be called again", "", "bridge doctor"),
    "writes": Kind(
        "{about} gives no clear answer to fulfillments",
        "{about} answers fulfillments clearly again",
        "exceptions",
        "bridge deliveries --status unconfirmed",
    ),
    "credentials": Kind(
        "{about} refuses our credentials",
        "{about} takes our credentials again",
        "",
        "bridge doctor",
    ),
    "silence": Kind("No webhook comes", "Webhooks come again", "events", "bridge webhooks list"),
    "stalled": Kind(
        "Work stands still", "Work moves again", "events", "bridge events --status received"
    ),
    "missed": Kind(
        "Webhooks were missed", "For a day no webhook was missed", "events", "bridge webhooks list"
    ),
    "difference": Kind(
        "ShipStation and Purple Dot differ",
        "ShipStation and Purple Dot agree again",
        "",
        "bridge reconcile --since 7d --dry-run",
    ),
    "subscription": Kind(
        "A webhook subscription is lost",
        "The webhook subscriptions are as they were set up",
        "",
        "bridge webhooks list",
    ),
    "database": Kind(
        "The database takes nothing", "The database takes work again", "", "bridge doctor"
    ),
}


@dataclass(frozen=True, slots=True)
class OpenException:
    """A delivery or an event that waits for a person; `name` is its order or tracking number."""

    id: str
    reason: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class AlertInputs:
    """What was read at one moment. `vendors`: (system, state, since, until); `typical_counts`: how
    many notifications came in each earlier week, in the hours in which none came now; `stalled`:
    (id, since) of what is next and is not taken; `differences`: (reference, sentence) that the
    daily comparison found."""

    now: datetime
    exceptions: Sequence[OpenException] = ()
    vendors: Sequence[tuple[str, str, datetime | None, datetime | None]] = ()
    refused: Collection[str] = ()
    last_event_at: datetime | None = None
    typical_counts: Sequence[int] = ()
    stalled: tuple[str, datetime] | None = None
    missed: int = 0
    lost: Sequence[str] = ()
    differences: Sequence[tuple[str, str]] = ()


def problems(inputs: AlertInputs) -> Iterator[Problem]:
    """All that stands now."""
    for exception in inputs.exceptions:
        yield _exception(exception)
    for system, state, since, until in inputs.vendors:
        key = Key("vendor", SYSTEMS.get(system, system))
        if state == "down":
            yield Problem(
                key,
                f"Every call has failed since {_clock(since)}. Only probes go there until one "
                "succeeds; nothing is lost.",
            )
        elif state == "unclear":
            yield Problem(
                Key("writes", SYSTEMS.get(system, system)),
                f"Since {_clock(since)} no fulfillment that was posted got a clear answer. The"
                " others wait; one is tried now and then until a clear answer comes.",
            )
        elif state == "throttled" and until is not None and until - inputs.now > _LONG_PAUSE:
            yield Problem(key, f"It asked us to wait until {_clock(until)}.")
    for system in sorted(inputs.refused):
        yield Problem(
            Key("credentials", SYSTEMS.get(system, system)),
            "Put a valid key into the settings and restart; what waits goes on then.",
        )
    if _is_silent_now(inputs):
        typical = _middle(inputs.typical_counts)
        yield Problem(
            Key("silence"),
            f"None since {_clock(inputs.last_event_at)}; in these hours of the week about {typical}"
            " come. If nothing was shipped, all is well.",
        )
    if inputs.stalled is not None and inputs.now - inputs.stalled[1] > STALLED_AFTER:
        stalled_id, since = inputs.stalled
        yield Problem(
            Key("stalled"),
            f"{stalled_id} has been next since {_clock(since)}, and no worker takes it. Restart the"
            " worker.",
        )
    if inputs.missed:
        yield Problem(
            Key("missed"),
            f"The sweep found {inputs.missed} shipment(s) of the last day that no webhook reported;"
            " they are processed now.",
        )
    for problem in inputs.lost:
        key = Key("subscription", subject=problem[:200])
        yield Problem(key, f"{problem}. `bridge webhooks ensure URL` repairs it.")
    for reference, sentence in inputs.differences:
        yield Problem(Key("difference", subject=reference), sentence, name=reference)


def _exception(exception: OpenException) -> Problem:
    key = Key("exception", subject=exception.id)
    folder = "events" if exception.id.startswith("evt_") else "deliveries"
    page = f"{folder}/{exception.id}"
    if exception.reason not in set(Reason):
        return Problem(key, exception.reason, exception.name, page)
    meaning = MEANINGS[Reason(exception.reason)]
    sentence = (
        f"{meaning.title} ({exception.reason}): {meaning.sentence} What to do: "
        f"{meaning.console_step}"
    )
    return Problem(key, sentence, exception.name, page)


def database_problem(sentence: str) -> Problem:
    """That the database takes or gives nothing: the one problem that is not read from it."""
    return Problem(Key("database"), f"{sentence}. Webhooks are refused, and ShipStation retries.")


def grace(quiet: timedelta) -> timedelta:
    """How much later than usual a webhook may come before its absence counts."""
    return min(max(quiet / 4, timedelta(minutes=30)), timedelta(hours=2))


def is_silent(quiet: timedelta, typical_counts: Sequence[int]) -> bool:
    """Whether a quiet time is much longer than the account's own rhythm: in the same hours of every
    earlier week, but for one odd week, several notifications came. An account too young or too calm
    to tell is never called silent."""
    if quiet < SILENT_AT_LEAST or len(typical_counts) < _WEEKS_NEEDED:
        return False
    odd_weeks = 1 if len(typical_counts) > _WEEKS_NEEDED else 0
    return sorted(typical_counts)[odd_weeks] >= _TYPICAL_AT_LEAST


def _is_silent_now(inputs: AlertInputs) -> bool:
    if inputs.last_event_at is None:
        return False
    return is_silent(inputs.now - inputs.last_event_at, inputs.typical_counts)


def _middle(counts: Sequence[int]) -> int:
    return sorted(counts)[len(counts) // 2]


def _clock(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else "a while ago"


@dataclass(frozen=True, slots=True)
class Message:
    """For one alert URL. `keys` are the problems that it knows once this has arrived."""

    title: str
    body: str
    keys: frozenset[Key] = field(default_factory=frozenset)


def changes(
    sent: Collection[Key], standing: Sequence[Problem], *, console: str | None
) -> Message | None:
    """What to send to a URL that was sent so much already; None when nothing changed. `console` is
    the console's address, if there is one."""
    groups_standing = {(problem.key.kind, problem.key.about) for problem in standing}
    over = sorted({(key.kind, key.about) for key in sent} - groups_standing)
    begun: dict[tuple[str, str], list[Problem]] = {}
    for problem in standing:
        if problem.key not in sent:
            begun.setdefault((problem.key.kind, problem.key.about), []).append(problem)
    if not begun and not over:
        return None
    heads: list[str] = []
    parts: list[str] = []
    for (kind, about), new in begun.items():
        head = _fill(KINDS[kind].begun, about, len(new))
        heads.append(head)
        parts.append(_part(head, new, console))
    ends = [_fill(KINDS[kind].over, about, 0) for kind, about in over if kind in KINDS]
    parts += [f"Over: {end}." for end in ends]
    return Message(
        "Purple Dot bridge: " + "; ".join([*heads, *ends]),
        "\n\n".join(parts),
        frozenset(problem.key for problem in standing),
    )


def digest(
    standing: Sequence[Problem], *, received: int, delivered: int, console: str | None
) -> Message:
    """All that waits or stands, once more, beside the last day's figures. It is sent when nothing
    waits as well: a digest that doesn't come says that the bridge is down."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in standing:
        groups.setdefault((problem.key.kind, problem.key.about), []).append(problem)
    heads: list[str] = []
    parts = [f"In the last 24 hours {delivered} parcels were posted, and {received} webhooks came."]
    for (kind, about), problems_of_group in groups.items():
        count = len(problems_of_group)
        head = _fill(KINDS[kind].begun, about, count)
        if kind == "exception":
            head = f"{count} need{'s' if count == 1 else ''} a person"
        heads.append(head)
        parts.append(_part(head, problems_of_group, console))
    title = "; ".join(heads) or "nothing needs a person"
    return Message(f"Purple Dot bridge, daily digest: {title}", "\n\n".join(parts))


def _part(head: str, group: Sequence[Problem], console: str | None) -> str:
    where = _where(KINDS[group[0].key.kind], console)
    return "\n".join([f"{head}.", *_lines(group, console), where])


def _fill(text: str, about: str, count: int) -> str:
    return text.format(about=about, n=count, s="" if count == 1 else "s")


def _lines(new: Sequence[Problem], console: str | None) -> Iterator[str]:
    """The most frequent sentence first, each with the first few that it is about."""
    by_sentence: dict[str, list[Problem]] = {}
    for problem in new:
        by_sentence.setdefault(problem.sentence, []).append(problem)
    groups = sorted(by_sentence.items(), key=lambda group: -len(group[1]))
    for sentence, group in groups[:_MAX_SENTENCES]:
        count = f"{len(group)} x " if len(group) > 1 else ""
        yield f"- {count}{sentence}"
        yield from _links(group, console)
    if len(groups) > _MAX_SENTENCES:
        yield f"- and {len(groups) - _MAX_SENTENCES} more"


def _links(group: Sequence[Problem], console: str | None) -> Iterator[str]:
    shown = [problem for problem in group if problem.name or problem.page][:_MAX_LINKS]
    for problem in shown:
        link = f"{console}/{problem.page}" if console and problem.page else problem.key.subject
        name = f"{problem.name}: " if problem.name and link != problem.name else ""
        yield f"  {name}{link}"
    if shown and len(group) > len(shown):
        yield f"  and {len(group) - len(shown)} more"


def _where(kind: Kind, console: str | None) -> str:
    return f"See {console}/{kind.page}" if console else f"See `{kind.command}`"


def console_address(subscribed: Mapping[str, str] | None) -> str | None:
    """The console's public address, from where `bridge webhooks ensure` was told that the webhooks
    come in."""
    url = (subscribed or {}).get("url", "")
    home, path, _ = url.partition("/webhooks/shipstation")
    return f"{home}/console" if path else None
