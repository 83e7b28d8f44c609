"""The tables, in the words of SQLAlchemy Core. The migrations make them; a test holds the two together.

Values of the core are stored whole as documents, beside the few columns that are searched or sorted by. Times are
ISO 8601 text in UTC with microseconds, which sorts as time does, on SQLite and PostgreSQL alike.
"""

from typing import Final

from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

metadata: Final = MetaData()

counters: Final = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Integer, nullable=False),
)

passes: Final = Table(
    "passes",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("trigger", String(16), nullable=False),
    Column("started_at", String(40), nullable=False),
    Column("finished_at", String(40), nullable=False),
    Column("commit", String(80), nullable=False),
    Column("applied_commit", String(80), nullable=False),
    Column("actions", Integer, nullable=False),
    Column("problems", Integer, nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("quiet", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("branch", String(255), nullable=False, server_default=""),
    Column("subject", Text, nullable=False, server_default=""),
    Column("failed", Integer, nullable=False, server_default="0"),
    Index("ix_passes_commit", "commit"),
)

intents: Final = Table(
    "intents",
    metadata,
    Column("pass_number", Integer, primary_key=True, autoincrement=False),
    Column("action_key", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("server", String(128), nullable=False),
    Column("action", Text, nullable=False),
    Column("recorded_at", String(40), nullable=False),
    Column("outcome", String(16), nullable=False, server_default=""),
    Column("outcome_document", Text, nullable=False, server_default=""),
    Index("ix_intents_outcome", "outcome"),
)

servers: Final = Table(
    "servers",
    metadata,
    Column("server", String(128), primary_key=True),
    Column("document", Text, nullable=False),
)

transitions: Final = Table(
    "transitions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("server", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("cause", String(40), nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Column("revision", String(80), nullable=False),
    Column("pass_number", Integer, nullable=False, server_default="0"),
    Index("ix_transitions_server", "server", "id"),
)

good_revisions: Final = Table(
    "good_revisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("commit", String(80), nullable=False),
    Column("document", Text, nullable=False),
    Column("kept_at", String(40), nullable=False),
)

owned_apps: Final = Table(
    "owned_apps",
    metadata,
    Column("app", String(128), primary_key=True),
    Column("server", String(128), nullable=False),
)

setbacks: Final = Table(
    "setbacks",
    metadata,
    Column("server", String(128), primary_key=True),
    Column("machine", String(128), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", String(40), nullable=False),
    Column("document", Text, nullable=False),
)

good_servers: Final = Table(
    "good_servers",
    metadata,
    Column("server", String(128), primary_key=True),
    Column("document", Text, nullable=False),
)

holds: Final = Table(
    "holds",
    metadata,
    Column("server", String(128), primary_key=True),
    Column("document", Text, nullable=False),
)

confirmed_prunes: Final = Table(
    "confirmed_prunes",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("confirmed_at", String(40), nullable=False),
)

leaders: Final = Table(
    "leaders",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(256), nullable=False),
    Column("token", Integer, nullable=False),
    # Seconds since 1970 by the clock of the database, which compares them: whole leases are told by one clock.
    Column("since", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("wanted_by", String(256), nullable=False, server_default=""),
    Column("wanted_until", Double, nullable=False, server_default="0"),
)

deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("trigger", String(16), nullable=False),
    Column("received_at", String(40), nullable=False),
    Index("ix_deliveries_received_at", "received_at"),
)

kept_texts: Final = Table(
    "kept_texts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("shelf", String(32), nullable=False),
    Column("key", String(512), nullable=False),
    Column("text", Text, nullable=False),
    Index("ux_kept_texts_key", "shelf", "key", unique=True),
)

proposals: Final = Table(
    "proposals",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("number", Integer, nullable=False),
    Column("commit", String(80), nullable=False),
    Column("ref", String(512), nullable=False),
    Column("waits", Boolean, nullable=False),
    Column("asked", Integer, nullable=False),
    Column("received_at", String(40), nullable=False),
    Column("document", Text, nullable=False, server_default=""),
    Index("ux_proposals_commit", "number", "commit", unique=True),
    Index("ix_proposals_waits", "waits"),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("who", String(256), nullable=False),
    Column("server", String(128), nullable=False),
    Column("method", String(128), nullable=False),
    Column("tool", String(128), nullable=False),
    Column("result", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("times", Integer, nullable=False),
    Column("slowest_ms", Double, nullable=False),
    Index("ix_audit_kind", "kind", "id"),
    Index("ix_audit_server", "server", "id"),
    Index("ix_audit_who", "who", "id"),
)
