"""What goes out: the exact body of `POST /fulfillment`, never without its lines."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Tracking
from bridge.vendors.purple_dot.payloads import fulfillment_body

ACTION = CreateFulfillment(
    fulfillment_order_id="7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a01",
    reference="#PD100",
    lines=(FulfilledLine("line-shawl", 2, "SHAWL-RED"), FulfilledLine("line-cap", 1)),
    tracking=Tracking("1Z1", "UPS", "https://www.ups.com/track?tracknum=1Z1"),
    notify_customer=True,
)
LINES = st.lists(st.builds(FulfilledLine, st.text(min_size=1), st.integers(-3, 5)), max_size=4).map(
    tuple
)


def test_body_is_just_what_purple_dot_takes() -> None:
    assert fulfillment_body(ACTION) == {
        "fulfillment": {
            "fulfillment_order_id": "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a01",
            "line_items": [{"id": "line-shawl", "quantity": 2}, {"id": "line-cap", "quantity": 1}],
            "notify_customer": True,
            "tracking_info": {
                "number": "1Z1",
                "company": "UPS",
                "url": "https://www.ups.com/track?tracknum=1Z1",
            },
        }
    }


def test_unknown_company_and_link_are_left_out_rather_than_blank() -> None:
    body = fulfillment_body(replace(ACTION, tracking=Tracking("1Z1", None, "")))

    assert body["fulfillment"]["tracking_info"] == {"number": "1Z1"}


def test_silence_toward_the_shopper_is_said() -> None:
    body = fulfillment_body(replace(ACTION, notify_customer=False))

    assert body["fulfillment"]["notify_customer"] is False


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (FulfilledLine("line-cap", 0),),
        (FulfilledLine("line-cap", 1), FulfilledLine("line-shawl", -1)),
    ],
)
def test_blank_lines_which_would_mean_everything_can_not_be_made(
    lines: tuple[FulfilledLine, ...],
) -> None:
    with pytest.raises(ValueError, match="#PD100 must name its lines"):
        replace(ACTION, lines=lines)


@given(LINES)
def test_body_never_goes_out_without_a_line_or_a_unit(lines: tuple[FulfilledLine, ...]) -> None:
    try:
        action = replace(ACTION, lines=lines)
    except ValueError:
        assert not lines or min(line.quantity for line in lines) < 1
        return

    sent = json.loads(json.dumps(fulfillment_body(action)))["fulfillment"]["line_items"]
    assert sent == [{"id": line.id, "quantity": line.quantity} for line in lines] != []
