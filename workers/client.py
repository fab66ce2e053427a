"""One way to reach Temporal, for the worker, the command line and the tests."""

from collections.abc import Sequence

from temporalio.client import Client, Interceptor
from temporalio.envconfig import ClientConfigProfile
from temporalio.runtime import Runtime

from contracts.converter import data_converter


async def connect(*, runtime: Runtime | None = None, interceptors: Sequence[Interceptor] = ()) -> Client:
    """Connect as the ``temporal`` CLI would: by ``TEMPORAL_*`` variables and profiles.

    Raises ``RuntimeError`` when the server can't be reached.
    """
    config = ClientConfigProfile.load().to_client_connect_config()
    config.setdefault("target_host", "127.0.0.1:7233")
    return await Client.connect(
        **config, data_converter=data_converter, runtime=runtime, interceptors=list(interceptors)
    )
