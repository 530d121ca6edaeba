"""The guard of connections, by itself: whom it cuts off, when, and for whom it makes room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.web.guard import Gate, Guard, Limits, Why

LIMITS = Limits(connections=3, head=10.0, request=20.0, idle=75.0)


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.protocol: asyncio.BaseProtocol | None = None

    def abort(self) -> None:
        self.aborted = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class Protocol(asyncio.Protocol):
    """What stands behind the guard; remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


class Port:
    """A gate with a clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0
        self.cut: list[Why] = []
        self.gate = Gate(Protocol, LIMITS, lambda: self.time, self.cut.append)

    def connect(self) -> tuple[Guard, Transport]:
        guard, transport = self.gate(), Transport()
        assert isinstance(guard, Guard)
        guard.connection_made(transport)
        return guard, transport

    def later(self, seconds: float) -> None:
        self.time += seconds
        self.gate.cut_late()


@pytest.fixture
def port() -> Port:
    return Port()


def test_bytes_one_at_a_time_buy_a_head_no_time(port: Port) -> None:
    guard, transport = port.connect()
    for _ in range(9):
        port.later(1.0)
        guard.data_received(b"G")

    assert not transport.aborted
    port.later(1.0)
    assert transport.aborted
    assert port.cut == ["slow-head"]
    assert port.gate.count == 0


def test_a_second_requests_head_has_as_long_from_its_first_byte(port: Port) -> None:
    guard, transport = port.connect()
    guard.began()
    guard.ended()
    port.later(74.0)
    guard.data_received(b"G")
    port.later(9.0)
    guard.data_received(b"E")

    assert not transport.aborted
    port.later(1.0)
    assert port.cut == ["slow-head"]


def test_a_body_or_an_answer_that_takes_too_long_is_cut_whatever_comes(port: Port) -> None:
    guard, _ = port.connect()
    guard.began()
    for _ in range(20):
        guard.data_received(b"x")
        port.later(1.0)

    assert port.cut == ["slow-request"]


def test_a_connection_without_requests_is_closed(port: Port) -> None:
    guard, transport = port.connect()
    guard.began()
    guard.ended()
    port.later(75.0)

    assert transport.aborted
    assert port.cut == ["idle"]


def test_a_stream_is_let_through_and_never_cut(port: Port) -> None:
    guard, transport = port.connect()
    guard.began()
    guard.let_through()
    guard.ended()
    port.later(1e6)

    assert isinstance(transport.protocol, Protocol)
    assert not transport.aborted
    assert port.gate.count == 0


def test_room_is_made_by_the_one_that_waits_longest_without_ever_having_asked(port: Port) -> None:
    asked, _ = port.connect()
    asked.began()
    asked.ended()
    _, oldest = port.connect()
    _, younger = port.connect()

    _, newcomer = port.connect()

    assert [oldest.aborted, younger.aborted, newcomer.aborted] == [True, False, False]
    assert port.cut == ["crowded"]
    assert port.gate.count == 3


def test_idle_connections_make_room_where_all_have_asked_before(port: Port) -> None:
    transports = []
    for _ in range(3):
        guard, transport = port.connect()
        guard.began()
        guard.ended()
        transports.append(transport)
    port.connect()

    assert [one.aborted for one in transports] == [True, False, False]


def test_nobody_is_pushed_out_in_the_middle_of_a_request(port: Port) -> None:
    busy = [port.connect() for _ in range(3)]
    for guard, _ in busy:
        guard.began()
    newcomer, transport = port.connect()
    newcomer.data_received(b"GET / HTTP/1.1\r\n")
    newcomer.connection_lost(None)

    assert transport.aborted
    assert not any(one.aborted for _, one in busy)
    assert port.cut == ["full"]
    assert port.gate.count == 3


@pytest.mark.parametrize("ends", [lambda g: g.connection_lost(None), lambda g: g.cut()])
def test_a_handler_that_outlives_its_connection_takes_up_no_room(
    port: Port, ends: Callable[[Guard], None]
) -> None:
    guard, _ = port.connect()
    guard.began()
    ends(guard)
    port.gate.forget(guard)
    guard.ended()
    guard.began()

    assert port.gate.count == 0
