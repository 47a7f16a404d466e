"""The proxy does to connections what its methods say."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from loadtest.chaos.proxy import FaultProxy

SAID = b"0123456789"


class Parrot(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(100):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with Server(("127.0.0.1", 0), Parrot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with closing(FaultProxy(server.server_address[1])) as proxy:
            yield proxy
        server.shutdown()


def connected(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 10)


def answer(to: socket.socket) -> bytes:
    to.sendall(SAID)
    heard = b""
    while len(heard) < len(SAID) and (data := to.recv(100)):
        heard += data
    return heard


def test_it_passes_everything_on_and_counts(proxy):
    with connected(proxy) as one, connected(proxy) as two:
        assert [answer(one), answer(two), answer(one)] == [SAID] * 3
    assert (proxy.connections, proxy.commands) == (2, 3)


def test_down_closes_and_refuses_until_it_is_well_again(proxy):
    with connected(proxy) as one:
        assert answer(one) == SAID
        proxy.down()
        with pytest.raises(ConnectionError):
            one.sendall(SAID) or one.recv(1) or one.sendall(SAID) or one.recv(1) or raise_closed()
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.well()
    with connected(proxy) as two:
        assert answer(two) == SAID


def raise_closed() -> None:
    raise ConnectionError("closed")


def test_a_reset_reaches_an_open_connection(proxy):
    with connected(proxy) as one:
        assert answer(one) == SAID
        proxy.resetting()
        with pytest.raises(ConnectionResetError):
            answer(one)


def test_silence_passes_nothing_on_and_closes_nothing(proxy):
    proxy.silent()
    with connected(proxy) as one:
        one.settimeout(0.1)
        with pytest.raises(TimeoutError):
            answer(one)
        proxy.well()
        one.settimeout(10)
        assert answer(one) == SAID


def test_slices_arrive_one_by_one(proxy):
    proxy.sliced(1)
    with connected(proxy) as one:
        assert answer(one) == SAID


def test_answers_are_cut_and_the_connection_ends(proxy):
    proxy.cut_after(4)
    with connected(proxy) as one:
        assert answer(one) == SAID[:4]


def test_half_closed_ends_only_the_way_to_the_client(proxy):
    proxy.half_closed()
    with connected(proxy) as one:
        assert answer(one) == b""
        one.sendall(SAID)


def test_lies_and_delays(proxy):
    proxy.lying(lambda data: data[::-1])
    with connected(proxy) as one:
        assert answer(one) == SAID[::-1]
        proxy.slow(0.01)
        assert answer(one) == SAID
