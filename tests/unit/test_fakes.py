"""A fake is only worth something while it has just the methods of the real thing, with the same
arguments."""

import inspect
from typing import Any

import pytest

from bridge.vendors.purple_dot.client import PurpleDot
from bridge.vendors.shipstation.fetch import Fetcher
from tests.support.fakes import FakeFetcher, FakePurpleDot


def public(kind: type[Any]) -> dict[str, list[str]]:
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in methods
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("fake", "real"), [(FakePurpleDot, PurpleDot), (FakeFetcher, Fetcher)])
def test_fake_has_the_methods_of_the_real_client(fake: type[Any], real: type[Any]) -> None:
    of_the_fake = {
        name: parameters
        for name, parameters in public(fake).items()
        if name not in ("script", "asked")
    }

    assert of_the_fake == public(real)
