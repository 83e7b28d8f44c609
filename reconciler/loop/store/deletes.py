"""Many rows removed at once, in one message to the server instead of one for each."""

from collections.abc import Iterable

from sqlalchemy import Column, Connection, bindparam, delete


def delete_rows(connection: Connection, key: "Column[str]", values: Iterable[str]) -> None:
    """Removes the rows whose `key` is one of `values`; none of them must be there."""
    rows = [{"gone": value} for value in values]
    if rows:
        connection.execute(delete(key.table).where(key == bindparam("gone")), rows)
