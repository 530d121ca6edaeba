"""The SQLite schema as ordered steps; `PRAGMA user_version` counts those a file has seen.

A step is never edited once released: a change is a new step, with a test that upgrades a file of
every older version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

Step = tuple[str, ...]
"""SQL statements run together, in one transaction with the version's change."""

STEPS: Final[tuple[Step, ...]] = (
    (
        """
        CREATE TABLE calls (
          number INTEGER PRIMARY KEY AUTOINCREMENT,
          call_sid TEXT NOT NULL UNIQUE,
          account_sid TEXT NOT NULL,
          direction TEXT NOT NULL,
          caller TEXT NOT NULL,
          called TEXT NOT NULL,
          route TEXT NOT NULL,
          organization TEXT NOT NULL,
          service_id TEXT NOT NULL,
          user_id TEXT NOT NULL,
          replica TEXT NOT NULL,
          admitted_at REAL NOT NULL,
          status TEXT NOT NULL,
          end_reason TEXT,
          ended INTEGER NOT NULL DEFAULT 0,
          conversation_id TEXT,
          conversation_state TEXT NOT NULL DEFAULT 'none',
          token_digest TEXT NOT NULL,
          token_expires REAL NOT NULL,
          token_used INTEGER NOT NULL DEFAULT 0,
          answer TEXT NOT NULL,
          record TEXT NOT NULL
        )
        """,
        "CREATE INDEX calls_by_token ON calls (token_digest)",
        "CREATE INDEX calls_by_conversation ON calls (conversation_id)",
        """
        CREATE INDEX calls_unsettled ON calls (number)
        WHERE NOT (ended = 1 AND conversation_state IN ('none', 'finished', 'auto-finished'))
        """,
        """
        CREATE TABLE leases (
          organization TEXT NOT NULL,
          service_id TEXT NOT NULL,
          user_id TEXT NOT NULL,
          call_sid TEXT,
          used_at REAL NOT NULL,
          PRIMARY KEY (organization, service_id, user_id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX leases_by_call ON leases (call_sid)",
        "CREATE TABLE replicas (replica TEXT PRIMARY KEY, beat REAL NOT NULL) WITHOUT ROWID",
        "CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    (
        """
        CREATE TABLE callers (
          organization TEXT NOT NULL,
          caller TEXT NOT NULL,
          user_id TEXT NOT NULL,
          PRIMARY KEY (organization, caller)
        ) WITHOUT ROWID
        """,
    ),
    (
        "ALTER TABLE replicas ADD COLUMN address TEXT",
        """
        CREATE TABLE orders (
          number INTEGER PRIMARY KEY AUTOINCREMENT,
          call_sid TEXT NOT NULL,
          kind TEXT NOT NULL,
          body TEXT NOT NULL,
          given_at REAL NOT NULL
        )
        """,
    ),
)


def upgrade(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Bring the file to the newest version, all or nothing; `StoreError` if it is newer than we are."""
    # IMMEDIATE: of two processes that start together, the second waits and then finds nothing to do.
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in _missing(connection, steps):
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps):d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _missing(connection: sqlite3.Connection, steps: Sequence[Step]) -> Sequence[Step]:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(steps):
        raise StoreError(
            f"the store has schema version {version}, this program knows {len(steps)};"
            " use a newer version of the program"
        )
    return steps[version:]
