"""What a person should hear of, and when: once per change, grouped, and a word when it is over.
Pure: facts in, messages out."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.domain.reasons import MEANINGS, Reason
from bridge.vendors.http import SYSTEMS

WEEKS = 6
"""How far back the account's own rhythm is learned."""
_WEEKS_KNOWN, _USUAL_AT_LEAST = 3, 5
SILENT_AT_LEAST = timedelta(hours=1)
STALLED_AFTER = timedelta(minutes=10)
_LONG_PAUSE = timedelta(minutes=10)
_MOST_LINES = 12


class Key(NamedTuple):
    """Names one trouble, so that it is told once. What has `kind` and `about` in common is one
    group, and ends together."""

    kind: str
    about: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    key: Key
    sentence: str


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
        "{n} new exception{s}",
        "No exception is left",
        "exceptions",
        "bridge deliveries --status held",
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
    "subscription": Kind(
        "A webhook subscription is lost",
        "The webhook subscriptions are as they were set up",
        "",
        "bridge webhooks list",
    ),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read at one moment. `exceptions`: (id, reason); `vendors`: (system, state, since,
    until); `usual`: how many notifications came in each earlier week, in the hours in which none
    came now; `stalled`: (id, since) of what is next and is not taken."""

    now: datetime
    exceptions: Sequence[tuple[str, str]] = ()
    vendors: Sequence[tuple[str, str, datetime | None, datetime | None]] = ()
    refused: Collection[str] = ()
    last_event_at: datetime | None = None
    usual: Sequence[int] = ()
    stalled: tuple[str, datetime] | None = None
    missed: int = 0
    lost: Sequence[str] = ()


def troubles(facts: Facts) -> Iterator[Trouble]:
    """All that stands now."""
    for one, reason in facts.exceptions:
        meaning = MEANINGS[Reason(reason)] if reason in set(Reason) else None
        yield Trouble(
            Key("exception", subject=one),
            f"{reason}: {meaning.sentence} {meaning.shell_step}" if meaning else reason,
        )
    for system, state, since, until in facts.vendors:
        if state == "down":
            told = f"Every call has failed since {_clock(since)}. Only probes go there until one succeeds; nothing is lost."
            yield Trouble(Key("vendor", SYSTEMS.get(system, system)), told)
        elif state == "unclear":
            yield Trouble(
                Key("writes", SYSTEMS.get(system, system)),
                f"Since {_clock(since)} no fulfillment that was posted got a clear answer. The"
                " others wait; one is tried now and then until a clear answer comes.",
            )
        elif state == "throttled" and until is not None and until - facts.now > _LONG_PAUSE:
            yield Trouble(
                Key("vendor", SYSTEMS.get(system, system)),
                f"It told us to wait until {_clock(until)}.",
            )
    for system in sorted(facts.refused):
        told = "Put a valid key into the settings and restart; what waits goes on then."
        yield Trouble(Key("credentials", SYSTEMS.get(system, system)), told)
    if facts.last_event_at is not None and is_silent(facts.now - facts.last_event_at, facts.usual):
        told = f"None since {_clock(facts.last_event_at)}; in these hours of the week about {_middle(facts.usual)} come."
        yield Trouble(Key("silence"), f"{told} If nothing was shipped, all is well.")
    if facts.stalled is not None and facts.now - facts.stalled[1] > STALLED_AFTER:
        yield Trouble(
            Key("stalled"),
            f"{facts.stalled[0]} has been next since {_clock(facts.stalled[1])}, and no worker takes it. Restart the worker.",
        )
    if facts.missed:
        yield Trouble(
            Key("missed"),
            f"The sweep found {facts.missed} shipment(s) of the last day that no webhook told of; they go their way.",
        )
    yield from (
        Trouble(
            Key("subscription", subject=problem[:200]),
            f"{problem}. `bridge webhooks ensure URL` mends it.",
        )
        for problem in facts.lost
    )


def grace(quiet: timedelta) -> timedelta:
    """How much later than usual is still no wonder."""
    return min(max(quiet / 4, timedelta(minutes=30)), timedelta(hours=2))


def is_silent(quiet: timedelta, usual: Sequence[int]) -> bool:
    """Whether a quiet time is much longer than the account's own rhythm: in the same hours of every
    earlier week, but for one odd week, several notifications came. An account too young or too calm
    to tell is never called silent."""
    if quiet < SILENT_AT_LEAST or len(usual) < _WEEKS_KNOWN:
        return False
    return sorted(usual)[1 if len(usual) > _WEEKS_KNOWN else 0] >= _USUAL_AT_LEAST


def _middle(usual: Sequence[int]) -> int:
    return sorted(usual)[len(usual) // 2]


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "a while ago"


@dataclass(frozen=True, slots=True)
class Message:
    """For one target. `told` is what it knows once this has arrived."""

    title: str
    body: str
    told: frozenset[Key] = field(default_factory=frozenset)


def news(told: Collection[Key], now: Sequence[Trouble], *, console: str | None) -> Message | None:
    """What to say to a target that was `told` so much; None when nothing changed. `console` is that
    one's address, if there is one."""
    standing = {(trouble.key.kind, trouble.key.about) for trouble in now}
    over = sorted({(key.kind, key.about) for key in told} - standing)
    begun: dict[tuple[str, str], list[Trouble]] = {}
    for trouble in now:
        if trouble.key not in told:
            begun.setdefault((trouble.key.kind, trouble.key.about), []).append(trouble)
    if not begun and not over:
        return None
    heads = [_fill(KINDS[kind].begun, about, len(new)) for (kind, about), new in begun.items()]
    ends = [_fill(KINDS[kind].over, about, 0) for kind, about in over if kind in KINDS]
    parts = [
        "\n".join([f"{head}.", *_lines(new), _where(KINDS[new[0].key.kind], console)])
        for head, new in zip(heads, begun.values(), strict=True)
    ]
    body = "\n\n".join([*parts, *(f"Over: {end}." for end in ends)])
    return Message(
        "Purple Dot bridge: " + "; ".join([*heads, *ends]),
        body,
        frozenset(trouble.key for trouble in now),
    )


def _fill(text: str, about: str, count: int) -> str:
    return text.format(about=about, n=count, s="" if count == 1 else "s")


def _lines(new: Sequence[Trouble]) -> list[str]:
    counted = Counter(trouble.sentence for trouble in new).most_common()
    lines = [
        f"- {count} x {sentence}" if count > 1 else f"- {sentence}"
        for sentence, count in counted[:_MOST_LINES]
    ]
    return lines + (
        [f"- and {len(counted) - _MOST_LINES} more"] if len(counted) > _MOST_LINES else []
    )


def _where(kind: Kind, console: str | None) -> str:
    return f"See {console}/{kind.page}" if console else f"See `{kind.command}`"


def console_address(subscribed: Mapping[str, str] | None) -> str | None:
    """The console's public address, from where `bridge webhooks ensure` was told that the webhooks
    come in."""
    home, found, _ = (subscribed or {}).get("url", "").partition("/webhooks/shipstation")
    return f"{home}/console" if found else None
