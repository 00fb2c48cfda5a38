"""Alembic's entry: one connection, one transaction."""

from alembic import context
from sqlalchemy import create_engine, event


def _connect() -> None:
    engine = create_engine(context.config.get_main_option("sqlalchemy.url"))

    @event.listens_for(engine, "connect")
    def _(connection, _record):
        # The driver would commit before every DDL statement; so a crash in the middle could leave half a schema.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        context.configure(connection=connection, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


_connect()
