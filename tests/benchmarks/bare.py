"""The baseline receiver: bare Flask and one durable SQLite insert, without token, signature, rules
or retries."""

import os
import sqlite3
import threading

from flask import Flask, request

_local = threading.local()


def _connection() -> sqlite3.Connection:
    if not hasattr(_local, "connection"):
        connection = sqlite3.connect(os.environ["BARE_DATABASE"], timeout=30, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, body BLOB)")
        _local.connection = connection
    connection = _local.connection
    assert isinstance(connection, sqlite3.Connection)
    return connection


def store(body: bytes) -> None:
    """Durably, in a transaction of its own."""
    _connection().execute("INSERT INTO events (body) VALUES (?)", (body,))


def create_app() -> Flask:
    app = Flask("bare")

    @app.post("/webhooks/shipstation/<token>")
    def take(token: str) -> tuple[dict[str, str], int]:  # noqa: ARG001  # the same route as ours
        store(request.get_data(cache=False))
        return {"status": "received"}, 202

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app
