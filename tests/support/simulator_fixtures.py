"""A running simulator, and a client that holds all its credentials."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bridge.simulator import Credentials, Simulator, World


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def world(simulator: Simulator) -> World:
    return simulator.world


@pytest.fixture
def simulator_env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    """The environment of commands that call the simulator, in no hurry about a budget, with a
    database of their own."""
    return simulator.env() | {
        "BRIDGE_SHIPSTATION_RATE_PER_MINUTE": "100000",
        "BRIDGE_SHIPSTATION_V1_RATE_PER_MINUTE": "100000",
        "BRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'bridge.db'}",
    }


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        known = Credentials()
        opened.headers.update(
            {"api-key": known.v2_key, "X-Purple-Dot-Access-Token": known.purple_dot_token}
        )
        opened.auth = (known.v1_key, known.v1_secret)
        yield opened


@pytest.fixture
def get(simulator: Simulator, session: requests.Session) -> Any:
    def get(path: str) -> Any:
        answer = session.get(
            path if path.startswith("http") else simulator.url + path,
            timeout=5,
            allow_redirects=False,
        )
        answer.raise_for_status()
        return answer.json()

    return get


@pytest.fixture
def fulfill(simulator: Simulator, session: requests.Session) -> Any:
    def fulfill(order_id: str, **fields: object) -> requests.Response:
        body = {"fulfillment": {"fulfillment_order_id": order_id, **fields}}
        return session.post(
            f"{simulator.url}/admin/api/v1/fulfillment", json=body, timeout=5, allow_redirects=False
        )

    return fulfill
