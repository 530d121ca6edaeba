"""For all tests over real sockets: a machine busy with other tests must not look like a slow store."""

from __future__ import annotations

import pytest

from gateway.bridge import admission


@pytest.fixture(autouse=True)
def unhurried_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhook's bound for the store, 40 ms, is for real; `test_door_store` sets it so again."""
    monkeypatch.setattr(admission, "STORE_PATIENCE", 2.0)
