"""Breaking off connections on purpose.

The server puts a connection's handle into the ASGI scope's extensions. Where there is none, in process, the
same is told by the exception that an httpx client would raise.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Any, NoReturn

import httpx

EXTENSION = "sandbox.transport"

_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)
_UNDERWAY_SECONDS = 0.05


async def reset_connection(scope: Mapping[str, Any]) -> None:
    """Ends the connection with a TCP reset."""
    transport = _transport(scope)
    if transport is None:
        _refuse(httpx.ReadError("Connection reset by the sandbox."))
    listener = transport.get_extra_info("socket")
    if listener is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
    transport.abort()
    await asyncio.sleep(_UNDERWAY_SECONDS)


async def close_connection(scope: Mapping[str, Any], text: str) -> None:
    """Ends the connection after what was written so far."""
    transport = _transport(scope)
    if transport is None:
        _refuse(httpx.RemoteProtocolError(text))
    transport.close()
    await asyncio.sleep(_UNDERWAY_SECONDS)


def _transport(scope: Mapping[str, Any]) -> asyncio.Transport | None:
    transport: asyncio.Transport | None = scope.get("extensions", {}).get(EXTENSION, {}).get("transport")
    return transport


def _refuse(error: httpx.TransportError) -> NoReturn:
    raise error
