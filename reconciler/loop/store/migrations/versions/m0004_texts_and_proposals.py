"""What other rooms keep (letters, messages), and the proposed commits of pull requests."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    op.create_table(
        "kept_texts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("shelf", sa.String(32), nullable=False),
        sa.Column("key", sa.String(512), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Index("ux_kept_texts_key", "shelf", "key", unique=True),
    )
    op.create_table(
        "proposals",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("commit", sa.String(80), nullable=False),
        sa.Column("ref", sa.String(512), nullable=False),
        sa.Column("waits", sa.Boolean, nullable=False),
        sa.Column("asked", sa.Integer, nullable=False),
        sa.Column("received_at", sa.String(40), nullable=False),
        sa.Column("document", sa.Text, nullable=False, server_default=""),
        sa.Index("ux_proposals_commit", "number", "commit", unique=True),
        sa.Index("ix_proposals_waits", "waits"),
    )
