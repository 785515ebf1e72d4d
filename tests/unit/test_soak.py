"""What `make soak` takes for a leak, and what not."""

import pytest

from tests.soak.watch import Sample, is_leak

BLOCKS, BYTES = 500_000, 24 * 2**20


@pytest.mark.parametrize(
    ("mebibytes", "blocks", "allocated", "expected"),
    [
        ((80, 80, 80, 80), (1, 1, 1, 1), (1, 1, 1, 1), False),
        ((80, 90, 107, 114), (1, 1.02, 1.02, 1.03), (1, 1.05, 1.06, 1.07), False),
        ((80, 80, 80, 80), (1, 1.2, 1.2, 1.2), (1, 1.2, 1.2, 1.2), False),
        ((80, 84, 88, 92), (1, 1.05, 1.1, 1.15), (1, 1, 1, 1), True),
        ((80, 84, 88, 92), (1, 1, 1, 1), (1, 1.1, 1.2, 1.3), True),
    ],
)
def test_leak_is_what_grows_in_use_after_the_first_quarter_not_what_is_held(
    mebibytes: tuple[float, ...],
    blocks: tuple[float, ...],
    allocated: tuple[float, ...],
    expected: bool,
) -> None:
    quarters = [
        Sample(held, 30, 17, blocks=int(BLOCKS * some), allocated=int(BYTES * bytes_))
        for held, some, bytes_ in zip(mebibytes, blocks, allocated, strict=True)
    ]

    assert is_leak(quarters) is expected
