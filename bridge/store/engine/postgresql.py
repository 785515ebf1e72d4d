"""PostgreSQL: how a server is reached, and what each connection is set to, whatever the server's
own settings say."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text

_CONNECT_SECONDS = 5
_REACHED = {
    "connect_timeout": _CONNECT_SECONDS,
    "application_name": "purpledot-shipstation-bridge",
    # A server that vanished without a word, as behind a partition, is noticed within a minute.
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
_SET = """
SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
           WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
       set_config('statement_timeout', %(limit)s, false),
       set_config('lock_timeout', %(limit)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle)s, false)
"""
"""`synchronous_commit=off`, a common tuning, would lose rows that somebody was promised."""
_IDLE_SECONDS = 60
"""No transaction of ours waits for anything outside: one that stands still belongs to a frozen
process, and its locks stop the others."""
_OF_PATIENCE = 0.8
"""The server gives up a little before we do, so that the connection stays usable."""


def create(url: URL, *, pool_size: int, patience: float) -> Engine:
    """`pool_size` connections stay open, twice as many may be. What the URL itself says about the
    connection stands."""
    own = {name: value for name, value in _REACHED.items() if name not in url.query}
    engine = create_engine(
        url,
        hide_parameters=True,
        # Decisions about one order come one after the other under its row's lock, and must see what
        # was decided meanwhile.
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=patience / 2,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args=own,
    )
    limit = f"{max(1, int(patience * _OF_PATIENCE * 1000))}ms"

    @event.listens_for(engine, "do_connect")
    def _connect(
        _dialect: object, _record: object, arguments: Any, options: dict[str, Any]
    ) -> object:
        from bridge.store.engine import limits  # noqa: PLC0415  # its driver is an extra

        return limits.connect(arguments, options, wait_limit=patience)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.execute(_SET, {"limit": limit, "idle": f"{_IDLE_SECONDS}s"})
        connection.commit()

    return engine


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a server does with what it is given, and how full it is."""

    version: str
    settings: dict[str, str]
    """As the server, database and role have them; ours stand above them."""
    open_connections: int
    most_connections: int
    is_encrypted: bool


def server_state(connection: Connection) -> ServerState:
    """For `bridge doctor`."""
    names = ("fsync", "full_page_writes", "synchronous_commit", "max_connections")
    query = text("SELECT name, reset_val FROM pg_settings WHERE name = ANY(:names)")
    rows = connection.execute(query, {"names": list(names)})
    settings = {row.name: row.reset_val for row in rows}
    count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    return ServerState(
        version=str(connection.execute(text("SHOW server_version")).scalar_one()),
        settings=settings,
        open_connections=int(connection.execute(text(count)).scalar_one()),
        most_connections=int(settings["max_connections"]),
        is_encrypted=bool(connection.execute(text(encrypted)).scalar()),
    )
