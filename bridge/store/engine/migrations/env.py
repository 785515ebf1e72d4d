"""Alembic's entry: run the versions on the connection that `bridge.store.engine.migrate` opened."""

from alembic import context

from bridge.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
