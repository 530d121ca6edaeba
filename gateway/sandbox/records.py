"""What the sandbox keeps: one SQLite database, in a folder or in memory, written in whole transactions.

Rows hold JSON documents beside the columns that are looked up by; recordings are blobs. Everything
but recordings is read once, at the start. A process that dies leaves what was committed.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.errors import BadSetting, ConfigError

FILE: Final = "sandbox.db"
OPTION: Final = "--data"
_STEPS: Final = (
    (
        "CREATE TABLE conversations (id TEXT PRIMARY KEY, number INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE interactions (id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL,
          number INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID
        """,
        "CREATE INDEX interactions_of ON interactions (conversation_id)",
        """
        CREATE TABLE messages (id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL,
          number INTEGER NOT NULL, body TEXT NOT NULL, media TEXT, sound BLOB)
        """,
        "CREATE INDEX messages_of ON messages (conversation_id)",
        "CREATE TABLE feedbacks (id TEXT PRIMARY KEY, number INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE users (id TEXT PRIMARY KEY, number INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    ),
)
"""Schema by version (`PRAGMA user_version`); a step is never edited, a change is a new one."""
_TABLES: Final = ("conversations", "interactions", "messages", "feedbacks", "users")


class Records:
    """The database of one sandbox; used from the event loop's thread: every write is small."""

    def __init__(self, folder: Path | None) -> None:
        self._db = _open(folder)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is kept whole, or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def all(self, table: str) -> list[dict[str, Any]]:
        """Every document of a table, oldest first."""
        _known(table)
        statement = f"SELECT body FROM {table} ORDER BY number"  # noqa: S608 - a name of `_TABLES`
        return [json.loads(row[0]) for row in self._db.execute(statement)]

    def put(self, table: str, key: str, number: int, body: dict[str, Any], **columns: str) -> None:
        """Write one document over its older version."""
        _known(table)
        names = ["id", "number", "body", *columns]
        places = ", ".join("?" for _ in names)
        updates = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
        statement = (
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - names of this file
            f" ON CONFLICT (id) DO UPDATE SET {updates}"
        )
        self._db.execute(statement, (key, number, json.dumps(body), *columns.values()))

    def remove(self, table: str, key: str) -> None:
        _known(table)
        self._db.execute(f"DELETE FROM {table} WHERE id = ?", (key,))  # noqa: S608 - a name of `_TABLES`

    def remove_conversation(self, conversation_id: str) -> None:
        """A conversation with all that was said in it."""
        self.remove("conversations", conversation_id)
        for table in ("interactions", "messages"):
            statement = f"DELETE FROM {table} WHERE conversation_id = ?"  # noqa: S608 - as above
            self._db.execute(statement, (conversation_id,))

    def keep_sound(self, message_id: str, media: str, sound: bytes) -> None:
        """The recording behind a message that is written already."""
        statement = "UPDATE messages SET media = ?, sound = ? WHERE id = ?"
        self._db.execute(statement, (media, sound, message_id))

    def sound(self, message_id: str) -> tuple[str, bytes] | None:
        """Media type and bytes of a message's recording; None where there is none."""
        statement = "SELECT media, sound FROM messages WHERE id = ? AND sound IS NOT NULL"
        row = self._db.execute(statement, (message_id,)).fetchone()
        return None if row is None else (row[0], row[1])

    def secret(self, name: str) -> bytes:
        """A key that signs something; made once for each database."""
        fresh = secrets.token_bytes(32)
        self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, fresh))
        statement = "SELECT value FROM facts WHERE name = ?"
        return bytes(self._db.execute(statement, (name,)).fetchone()[0])


def _known(table: str) -> None:
    assert table in _TABLES


def _open(folder: Path | None) -> sqlite3.Connection:
    if folder is None:
        return _ready(":memory:")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _ready(str(folder / FILE))
    except OSError as error:
        problem = f"cannot use {folder}: {error.strerror or error}"
        raise ConfigError([BadSetting(OPTION, problem)]) from error
    except sqlite3.Error as error:
        raise ConfigError([BadSetting(OPTION, f"cannot use {folder / FILE}: {error}")]) from error


def _ready(place: str) -> sqlite3.Connection:
    db = sqlite3.connect(place, isolation_level=None)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    # One sandbox to one folder: a second would answer from memory what the first has changed.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("BEGIN IMMEDIATE")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(_STEPS):
        raise sqlite3.DatabaseError(f"it is of version {version}, this program knows {len(_STEPS)}")
    for step in _STEPS[version:]:
        for statement in step:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(_STEPS):d}")
    db.execute("COMMIT")
