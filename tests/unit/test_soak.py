"""What `make soak` takes for a leak, and what not."""

import pytest

from tests.soak.watch import Sample, grows_on


@pytest.mark.parametrize(
    ("mebibytes", "is_leak"),
    [
        ((80, 80, 81, 80), False),
        ((80, 105, 105, 105), False),
        ((80, 105, 105, 130), False),
        ((80, 81, 82, 83), False),
        ((80, 84, 88, 92), True),
        ((80, 105, 110, 115), True),
    ],
)
def test_memory_that_grows_in_each_quarter_is_a_leak_and_a_step_is_none(
    mebibytes: tuple[float, ...], is_leak: bool
) -> None:
    assert grows_on([Sample(held, files=30, threads=17) for held in mebibytes]) is is_leak
