"""Brings a database to the schema of this version, step by step, or refuses it.

A database that a newer version wrote is refused, never downgraded: what the newer version meant is not known here.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from reconciler.errors import EnvironmentFault

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, place: str) -> None:
    """Runs the steps that the database lacks, in the transaction of the connection: all of them or none.

    Raises:
        EnvironmentFault: the database is newer than this version of Catwalk.
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
    if present != set(script.get_heads()):
        command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config()
    # Alembic interpolates its options, so a percent sign in a path is doubled.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
