"""The first schema: counters, passes, intents, servers, transitions, good revisions, owned apps."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Integer, nullable=False),
    )
    _passes()
    _intents()
    _servers()
    _revisions()


def _passes() -> None:
    op.create_table(
        "passes",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("started_at", sa.String(40), nullable=False),
        sa.Column("finished_at", sa.String(40), nullable=False),
        sa.Column("commit", sa.String(80), nullable=False),
        sa.Column("applied_commit", sa.String(80), nullable=False),
        sa.Column("actions", sa.Integer, nullable=False),
        sa.Column("problems", sa.Integer, nullable=False),
        sa.Column("settled", sa.Boolean, nullable=False),
        sa.Column("quiet", sa.Boolean, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("ix_passes_commit", "passes", ["commit"])


def _intents() -> None:
    op.create_table(
        "intents",
        sa.Column("pass_number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("action_key", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("server", sa.String(128), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.String(40), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False, server_default=""),
        sa.Column("outcome_document", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("ix_intents_outcome", "intents", ["outcome"])


def _servers() -> None:
    op.create_table(
        "servers",
        sa.Column("server", sa.String(128), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "transitions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("server", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(40), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("revision", sa.String(80), nullable=False),
    )
    op.create_index("ix_transitions_server", "transitions", ["server", "id"])


def _revisions() -> None:
    op.create_table(
        "good_revisions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("commit", sa.String(80), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("kept_at", sa.String(40), nullable=False),
    )
    op.create_table(
        "owned_apps",
        sa.Column("app", sa.String(128), primary_key=True),
        sa.Column("server", sa.String(128), nullable=False),
    )
