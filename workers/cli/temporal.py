"""Reaching Temporal: by the variables and profiles of the ``temporal`` CLI, else that of the local stack."""

import asyncio
import os
from collections.abc import Awaitable

from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile
from temporalio.runtime import Runtime, TelemetryConfig

from contracts.converter import data_converter
from deploy.paths import state_dir
from deploy.stack import Stack
from workers.cli.errors import START, CliError, NoAnswerError
from workers.client import connect

CONNECT_S = 10
ADDRESS = "TEMPORAL_ADDRESS"


async def connected() -> Client:
    """Return a client of the server that settings name. Raises as ``connected_to`` does."""
    address = _address()
    return await _reached(address, connect(runtime=_runtime()))


async def connected_to(address: str) -> Client:
    """Return a client of the server at ``address`` (host:port), whatever settings name another.

    Raises NoAnswerError when it can't be reached, CliError for settings that can't be used.
    """
    return await _reached(address, Client.connect(address, data_converter=data_converter, runtime=_runtime()))


async def _reached(address: str, connecting: Awaitable[Client]) -> Client:
    try:
        async with asyncio.timeout(CONNECT_S):
            return await connecting
    except TimeoutError as error:
        raise NoAnswerError(f"Temporal did not answer at {address} within {CONNECT_S} s", START) from error
    except RuntimeError as error:
        raise NoAnswerError(f"Temporal does not answer at {address}", START) from error
    except ValueError as error:
        raise CliError(f"the settings of Temporal's client can't be used: {error}", START) from error


def _runtime() -> Runtime:
    """Return a runtime that is silent: its log would tell of each try beside what we say ourselves."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


def _address() -> str:
    """Return the address that will be used, having made that of the local stack the default."""
    try:
        named = ClientConfigProfile.load().address
    except RuntimeError as error:
        hint = "Correct the file; `temporal config --help` tells about it."
        raise CliError(f"Temporal's configuration can't be read: {error}", hint) from error
    stack = None if named else Stack.read(state_dir())
    if stack:
        os.environ[ADDRESS] = stack.temporal_address
    return named or os.environ.get(ADDRESS) or "127.0.0.1:7233"
