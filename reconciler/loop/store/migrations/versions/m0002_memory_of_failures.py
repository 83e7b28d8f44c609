"""The memory of a safe roll-out: setbacks, good servers, holds, confirmed prunes, and who leads."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    op.add_column("passes", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "setbacks",
        sa.Column("server", sa.String(128), primary_key=True),
        sa.Column("machine", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.String(40), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    for name in ("good_servers", "holds"):
        op.create_table(
            name,
            sa.Column("server", sa.String(128), primary_key=True),
            sa.Column("document", sa.Text, nullable=False),
        )
    op.create_table(
        "confirmed_prunes",
        sa.Column("digest", sa.String(80), primary_key=True),
        sa.Column("confirmed_at", sa.String(40), nullable=False),
    )
    _leaders()


def _leaders() -> None:
    op.create_table(
        "leaders",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(256), nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("wanted_by", sa.String(256), nullable=False, server_default=""),
        sa.Column("wanted_until", sa.Double, nullable=False, server_default="0"),
    )
