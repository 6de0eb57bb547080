from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from sightglass.ui.choices import import_ahead


def test_answers_leave_at_once_through_a_socket_that_the_loop_did_not_make() -> None:
    """A body must not wait until the headers before it are acknowledged."""

    async def serve() -> int:
        loop = asyncio.get_running_loop()
        import_ahead._send_at_once(loop)
        accepted: asyncio.Future[int] = loop.create_future()

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connection = transport.get_extra_info("socket")
                accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        async with await loop.create_server(Connection, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            answer = await accepted
            writer.close()
        return answer

    # The worker's own thread may run a loop, a browser's.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, serve()).result() != 0
