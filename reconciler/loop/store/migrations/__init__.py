"""The history of the schema, run by Alembic when a store is opened. A released step is never edited."""
