"""Listening sockets: bound once, handed on, and taken out of an event loop without closing them."""

from __future__ import annotations

import asyncio
import socket

import pytest

from entrepot.errors import ConfigError
from entrepot.serve.sockets import Listeners, is_served, stop_accepting
from tests.serving import free_port


def test_workers_share_a_port_and_nobody_else_gets_it() -> None:
    address = f"127.0.0.1:{free_port()}"
    listeners = Listeners([address], 2, 5.0)
    try:
        first, second = listeners.of(0)[address], listeners.of(1)[address]
        assert first.fileno() != second.fileno()
        assert first.getsockname() == second.getsockname()
        assert first.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
        first.listen()
        with pytest.raises(ConfigError, match=address):
            Listeners([address], 1, 5.0)
        listeners.renew(0)
        assert first.fileno() == -1
        assert listeners.of(0)[address].getsockname() == second.getsockname()
        listeners.keep(0)
        assert second.fileno() == -1
    finally:
        listeners.close()


@pytest.mark.parametrize("address", ["203.0.113.7:5000", "no-such-host.invalid:5000"])
def test_an_address_that_cannot_be_bound_is_named(address: str) -> None:
    with pytest.raises(ConfigError, match=address):
        Listeners([address], 1, 5.0)


def test_a_name_and_version_6_may_be_listened_on() -> None:
    port = free_port()
    listeners = Listeners([f"localhost:{port}", f"[::1]:{port + 1}"], 1, 5.0)
    assert listeners.of(0)[f"[::1]:{port + 1}"].family == socket.AF_INET6
    listeners.close()


def test_what_waits_is_left_to_the_next_worker() -> None:
    async def run() -> None:
        address = f"127.0.0.1:{free_port()}"
        listeners = Listeners([address], 1, 5.0)
        listener = listeners.of(0)[address]
        served: list[str] = []

        async def serve(name: str) -> asyncio.Server:
            async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                served.append(name)
                writer.close()

            return await asyncio.start_server(answer, sock=listener.dup())

        async def connect() -> None:
            host, port = listener.getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            await reader.read()
            writer.close()

        former = await serve("former")
        descriptor = former.sockets[0].fileno()
        assert is_served(descriptor)
        assert not is_served(listener.fileno())
        await connect()
        stop_accepting(descriptor)
        assert not is_served(descriptor)
        waiting = asyncio.ensure_future(connect())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        later = await serve("later")
        await waiting
        await connect()
        assert served == ["former", "later", "later"]
        former.close()
        later.close()
        listeners.close()

    asyncio.run(run())
