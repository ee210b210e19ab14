"""A reply is heard although something is sent while it is awaited."""

import asyncio
import time
from pathlib import Path

import nbformat
import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session

from course_lib.kernels import ListeningChannel, ListeningManager
from course_lib.notebooks import execute

SPAN = 20.0  # seconds that a deaf channel sleeps


async def outcome(channel_class: type[AsyncZMQSocketChannel]) -> bool:
    """Whether a waiting reader has its message long before its timeout, if a send came between."""
    with zmq.Context() as context:
        kernel = context.socket(zmq.ROUTER)
        port = kernel.bind_to_random_port("tcp://127.0.0.1")
        socket = zmq.asyncio.Context.shadow(context.underlying).socket(zmq.DEALER)
        socket.connect(f"tcp://127.0.0.1:{port}")
        session = Session(key=b"k")
        channel = channel_class(socket, session)
        channel.send(session.msg("execute_request"))
        ident = kernel.recv_multipart()[0]
        reader = asyncio.ensure_future(channel.get_msg(timeout=SPAN))
        await asyncio.sleep(0.1)  # it waits
        session.send(kernel, "execute_reply", {}, ident=ident)
        time.sleep(0.2)  # the loop must not run while the reply arrives
        channel.send(session.msg("comm_msg"))
        heard, _ = await asyncio.wait({reader}, timeout=SPAN / 2)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        for one in (kernel, socket):
            one.close(linger=0)
    return bool(heard)


def test_a_send_takes_no_reply_away():
    assert asyncio.run(outcome(ListeningChannel))


def test_a_notebook_is_executed_by_a_client_that_listens():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("6 * 7")])
    execute(notebook, folder=Path())
    assert notebook.cells[0].outputs[0]["data"]["text/plain"] == "42"
    assert issubclass(ListeningManager().client().shell_channel_class, ListeningChannel)
