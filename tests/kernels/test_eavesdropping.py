"""Who else reads what a kernel prints: a process with a ZMQ socket on its address, of this user or of another.

Only root can become another user: run by anybody else, the tests are of this user's processes alone.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.kernels.cells import WITHIN_S, run, running
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning"),
]

EAVESDROP = """
import os, sys, zmq
address, uid, server_key = sys.argv[1:]
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(b"")
if server_key:
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_serverkey = server_key.encode()
if int(uid) != os.getuid():
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
socket.connect(address)
print("listening", flush=True)
sys.stdin.readline()
heard = []
while socket.poll(300):
    heard += socket.recv_multipart()
said = any(b"the secret" in frame for frame in heard)
print("the secret" if said else "something" if heard else "nothing", flush=True)
"""
ME = os.getuid()
ANOTHER = 65534
CAN_BE_ANOTHER = ME == 0
BASH = "bash"
HEARD = {
    NEWEST: {
        (ME, False, False): "nothing",
        (ANOTHER, False, False): "nothing",
        (ANOTHER, False, True): "nothing",
        (ANOTHER, True, False): "nothing",
        (ME, False, True): "the secret",
    },
    OLDEST: {
        (ANOTHER, False, False): "nothing",
        (ME, False, False): "the secret",
        (ANOTHER, True, False): "the secret",
    },
    BASH: {(ANOTHER, False, False): "nothing"},
}
"""By who listens, whether the modes of the files let everybody in, and whether he has the kernel's key. What is heard
shows that the eavesdropper is good for something, and what is not promised."""
SPEAK = "print('the secret', flush=True); import time; time.sleep(0.01)"
SPEAK_BASH = "echo the secret; sleep 0.01"


@pytest.fixture(scope="module", params=list(HEARD))
async def kind(request: pytest.FixtureRequest) -> str:
    """Of kernels."""
    return str(request.param)


@pytest.fixture(scope="module")
async def kernel(kind: str, settings: Settings, anyio_backend: str) -> AsyncIterator[LocalKernel]:
    """One of that kind; no other has its files in the same directory."""
    kinds = {OLDEST: interpreter(OLDEST), BASH: BASH}
    with TemporaryDirectory(prefix="kernel-", dir="/tmp") as directory:
        async with running(replace(settings, sockets=Path(directory) / "s"), kinds.get(kind)) as kernel:
            yield kernel


@contextmanager
def modes_for_all(directory: Path, opened: bool) -> Iterator[None]:
    """The files of a kernel as they are, or so that nothing but their keys keeps anybody out."""
    if not opened:
        yield
        return
    directories = (directory.parents[1], directory.parent, directory)
    for path in directory.iterdir():
        path.chmod(0o666)
    for path in directories:
        path.chmod(0o711)
    try:
        yield
    finally:
        for path in directories:
            path.chmod(0o700)


@asynccontextmanager
async def eavesdropper(kernel: LocalKernel, uid: int, with_key: bool) -> AsyncIterator[list[str]]:
    """While the block runs, somebody listens; afterwards the list says what he heard."""
    connection = json.loads((kernel.directory / "kernel.json").read_text())
    address = f"ipc://{connection['ip']}-{connection['iopub_port']}"
    key = connection["curve_publickey"] if with_key else ""
    heard: list[str] = []
    async with await anyio.open_process([sys.executable, "-c", EAVESDROP, address, str(uid), key]) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        said = BufferedByteReceiveStream(other.stdout)
        with anyio.fail_after(WITHIN_S):
            assert await said.receive_until(b"\n", 100) == b"listening"
            yield heard
            await other.stdin.send(b"go\n")
            heard.append((await said.receive_until(b"\n", 100)).decode())


async def test_who_hears_what_a_kernel_prints(kernel: LocalKernel, kind: str) -> None:
    """Another user hears nothing of any kernel; this user's processes nothing of one that encrypts, without its key."""
    for (uid, opened, with_key), hears in HEARD[kind].items():
        if uid != ME and not CAN_BE_ANOTHER:
            continue
        with modes_for_all(kernel.directory, opened):
            async with eavesdropper(kernel, uid, with_key) as heard:
                for _ in range(20):
                    await run(kernel, SPEAK_BASH if kind == BASH else SPEAK)
        assert heard == [hears], (uid, opened, with_key)
