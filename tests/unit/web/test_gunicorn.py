"""gunicorn's options, and the folder where its processes count together."""

import gc
import os
import runpy
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import ThreadWorker

from bridge.domain.errors import BridgeError
from bridge.settings import Settings
from bridge.web import gunicorn

NECESSARY = {
    "BRIDGE_WEBHOOK_TOKENS": "a-token-of-these-tests",
    "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd",
    "BRIDGE_SHIPSTATION_API_KEY": "v2",
}
PROJECT = Path(__file__).parents[3]


def test_every_option_is_one_of_gunicorns() -> None:
    config = Config()

    for name, value in gunicorn.options(Settings.load(NECESSARY)).items():
        config.set(name, value)

    assert config.forwarder_headers == []
    assert config.control_socket_disable is True


def test_operations_get_an_address_of_their_own() -> None:
    settings = Settings.load(NECESSARY | {"BRIDGE_OPERATIONS_BIND": "127.0.0.1:9000"})

    assert gunicorn.options(settings)["bind"] == ["127.0.0.1:8000", "127.0.0.1:9000"]


def test_process_leaves_what_it_shares_to_no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[int] = []
    monkeypatch.setattr(
        ThreadWorker, "init_process", lambda _self: began.append(gc.get_freeze_count())
    )

    try:
        gunicorn.Threads.__new__(gunicorn.Threads).init_process()
    finally:
        gc.unfreeze()

    assert len(began) == 1
    assert began[0] > 1000


class _WorkerOfGunicorn23(ThreadWorker):
    """There, what is finished didn't name its connection, and no queue stood between threads."""

    def __init__(self) -> None:
        self.tpool = None

    def finish_request(self, fs: object) -> None:  # type: ignore[override]
        """Nothing."""


def test_gunicorn_with_other_insides_is_refused_in_one_sentence() -> None:
    with pytest.raises(BridgeError) as refused:
        gunicorn.check_insides(_WorkerOfGunicorn23)

    sentence = str(refused.value)
    assert "(changed: finish_request, method_queue); install gunicorn" in sentence
    assert "<28" in sentence


def test_gunicorn_that_is_installed_is_one_that_was_made_for() -> None:
    gunicorn.check_insides(ThreadWorker)


def test_shipped_configuration_has_the_options_of_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in NECESSARY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(gunicorn.METRICS_FOLDER, str(tmp_path))

    shipped = runpy.run_path(str(PROJECT / "deploy" / "gunicorn.conf.py"))

    expected = gunicorn.options(Settings.load(NECESSARY))
    assert {name: shipped[name] for name in expected} == expected


def test_folder_of_metrics_is_removed_at_the_end_and_one_left_behind_at_the_next_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(gunicorn.METRICS_FOLDER, "")
    monkeypatch.delenv(gunicorn.METRICS_FOLDER)
    in_use, lock = gunicorn.make_metrics_folder()
    left_behind = tmp_path / "bridge-metrics-of-a-killed-process"
    left_behind.mkdir()
    monkeypatch.delenv(gunicorn.METRICS_FOLDER)

    with gunicorn.metrics_folder():
        own = Path(os.environ[gunicorn.METRICS_FOLDER])
        during = set(tmp_path.iterdir())

    assert during == {in_use, own}
    assert set(tmp_path.iterdir()) == {in_use}
    os.close(lock)
