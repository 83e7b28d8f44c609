"""What Alembic runs: the steps that are missing, on the connection and in the transaction that the store handed in."""

from alembic import context
from sqlalchemy import Connection

from reconciler.loop.store.tables import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
