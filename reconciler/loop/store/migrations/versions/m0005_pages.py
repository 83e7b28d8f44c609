"""What pages show without reading whole passes, and who did what: the audit."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"


def upgrade() -> None:
    op.add_column("passes", sa.Column("branch", sa.String(255), nullable=False, server_default=""))
    op.add_column("passes", sa.Column("subject", sa.Text, nullable=False, server_default=""))
    op.add_column("passes", sa.Column("failed", sa.Integer, nullable=False, server_default="0"))
    op.add_column("transitions", sa.Column("pass_number", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("who", sa.String(256), nullable=False),
        sa.Column("server", sa.String(128), nullable=False),
        sa.Column("method", sa.String(128), nullable=False),
        sa.Column("tool", sa.String(128), nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("slowest_ms", sa.Double, nullable=False),
        sa.Index("ix_audit_kind", "kind", "id"),
        sa.Index("ix_audit_server", "server", "id"),
        sa.Index("ix_audit_who", "who", "id"),
    )
