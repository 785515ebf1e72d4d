"""Whatever comes to the door is answered by rule: never a 500, never a secret kept. At length:
`make fuzz`."""

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.simulator import Simulator
from tests.support.fuzz import (
    FRAGMENTS,
    MARK,
    NEVER_KEPT,
    RAW_PATH,
    Change,
    Fuzzed,
    Knock,
    a_knock,
    changed,
    originals,
)
from tests.support.raw_requests import exchange, in_pieces, raw_request
from tests.support.stack import Stack

RULES = {202, 308, 400, 401, 404, 405, 413, 429} | {200}
"""200 is what OPTIONS is answered."""

CHANGES = st.lists(
    st.builds(
        Change,
        st.floats(0, 1),
        st.integers(0, 60),
        st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=20)),
    ),
    max_size=5,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *NEVER_KEPT,
            "Content-Type",
            "User-Agent",
            "X-Shipengine-Timestamp",
            "X-Shipengine-Rsa-Sha256-Signature",
        ]
    ),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60).map(
        lambda text: text + MARK
    ),
)


class Fuzzing(NamedTuple):
    fuzzed: Fuzzed
    seeds: list[tuple[bytes, Mapping[str, str]]]


@pytest.fixture(scope="module")
def fuzzing(module_database_url: str) -> Iterator[Fuzzing]:
    with Simulator() as simulator:
        fuzzed = Fuzzed(simulator, module_database_url)
        yield Fuzzing(fuzzed, originals(simulator))
        fuzzed.close()


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 4),
    changes=CHANGES,
    headers=HEADERS,
    told=st.sampled_from([None, "chunked", "", "-1", "3", "9" * 20, "x"]),
)
def test_any_body_and_headers_are_answered_by_rule(
    fuzzing: Fuzzing, seed: int, changes: list[Change], headers: dict[str, str], told: str | None
) -> None:
    body, own = fuzzing.seeds[seed]
    kept = {
        name: value.removesuffix(MARK) if name not in NEVER_KEPT else value
        for name, value in headers.items()
    }

    assert (
        fuzzing.fuzzed.knock(Knock(changed(body, changes), {**own, **kept}, told_length=told))
        in RULES
    )


def test_hundreds_of_mutated_requests_are_answered_by_rule_and_leave_no_secret(
    fuzzing: Fuzzing,
) -> None:
    dice = random.Random(66)

    statuses = {fuzzing.fuzzed.knock(a_knock(dice, fuzzing.seeds)) for _ in range(700)}

    assert statuses <= RULES
    assert {202, 400, 401, 413} <= statuses
    assert (fuzzing.fuzzed.leaks, fuzzing.fuzzed.leaked_files()) == (0, [])


def test_bytes_that_are_almost_a_request_are_answered_and_harm_nobody(stack: Stack) -> None:
    """Chunk sizes, lengths, line ends: what the server in front of the application reads."""
    dice = random.Random(7)
    body, _headers = originals(stack.simulator)[2]
    stack.start_receiver(1)

    statuses = set()
    for _ in range(300):
        request = raw_request(dice, RAW_PATH, body)
        statuses.add(exchange(stack.port, in_pieces(dice, request)))

    # A request that was answered may be followed by rubbish, for which the connection is closed.
    assert {status for status in statuses if status is not None and status >= 500} == set()
    assert 202 in statuses
    assert stack.send({"resource_url": "x", "resource_type": "TRACK_EVENT_V2"}).status < 500
