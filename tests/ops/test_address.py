"""Where other replicas reach a process."""

from __future__ import annotations

import pytest

from gateway.address import private_host, with_port


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://10.0.0.7:8080", "http://10.0.0.7:41000"),
        ("http://gateway-3", "http://gateway-3:41000"),
        ("http://[fd00::7]:8080", "http://[fd00::7]:41000"),
    ],
)
def test_a_worker_is_told_at_the_same_host_with_its_own_port(url: str, expected: str) -> None:
    assert expected == with_port(url, 41000)


@pytest.mark.parametrize(
    ("store", "host", "expected"),
    [
        ("sqlite:///calls.db", "0.0.0.0", "127.0.0.1"),
        ("sqlite:///calls.db", "::", "127.0.0.1"),
        ("sqlite:///calls.db", "10.0.0.7", "10.0.0.7"),
        ("redis://10.0.0.1:6379/0", "0.0.0.0", "0.0.0.0"),
    ],
)
def test_a_workers_own_port_is_open_to_no_more_than_share_its_store(
    store: str, host: str, expected: str
) -> None:
    assert expected == private_host(store, host)
