"""Brings a database to the schema of this version, step by step, or refuses it.

A database that a newer version wrote is refused, never downgraded: what the newer version meant is not known here. So
is one that holds tables of something else: a mistyped path or URL must not end in another program's data.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from reconciler.errors import EnvironmentFault
from reconciler.loop.store.tables import metadata

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, place: str) -> None:
    """Runs the steps that the database lacks, in the transaction of the connection: all of them or none.

    Raises:
        EnvironmentFault: the database is newer than this version of Catwalk, or somebody else's.
    """
    config = _config(connection)
    script = ScriptDirectory.from_config(config)
    present = set(MigrationContext.configure(connection).get_current_heads())
    known = {step.revision for step in script.walk_revisions()}
    if present - known:
        raise EnvironmentFault(
            "database-newer",
            f"the database {place} was written by a newer version of Catwalk",
            hint="run that version, or name another state directory in CATWALK_STATE_DIR",
        )
    if not present:
        _refuse_foreign(connection, place)
    if present != set(script.get_heads()):
        command.upgrade(config, "head")


def _refuse_foreign(connection: Connection, place: str) -> None:
    """A file belongs to one program, so that any table in it is foreign; in PostgreSQL extensions leave theirs."""
    found = set(inspect(connection).get_table_names())
    if connection.dialect.name == "postgresql":
        found &= {"alembic_version", *metadata.tables}
    if found:
        raise foreign(place, min(found))


def foreign(place: str, table: str) -> EnvironmentFault:
    """That a database is not ours."""
    return EnvironmentFault(
        "database-foreign",
        f"the database {place} belongs to something else: it holds the table {table}",
        hint="give Catwalk a database of its own, in PostgreSQL at least a schema of its own",
    )


def _config(connection: Connection) -> Config:
    config = Config()
    # Alembic interpolates its options, so a percent sign in a path is doubled.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
