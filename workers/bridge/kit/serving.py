"""What an operator tells of itself: alive, ready, and metrics (Prometheus: exposition formats)."""

import contextlib
from collections.abc import AsyncIterator
from itertools import chain

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workers import probes
from workers.bridge.kit.controller import Controller
from workers.bridge.kit.kube import Kube


class Vitals(Collector):
    """The state of one bridge, as metrics and as answers to probes."""

    def __init__(self, *kubes: Kube) -> None:
        self._kubes = kubes
        self.controllers: dict[str, Controller] = {}
        self.connected = False

    @property
    def alive(self) -> bool:
        """Whether all of its watches live; a bridge that waits for the Lease has none."""
        return all(controller.reflector.lives for controller in self.controllers.values())

    @property
    def ready(self) -> bool:
        """Whether it reached Temporal; one that has no Lease is ready to have it."""
        return self.connected and (not self.controllers or self.leading)

    @property
    def leading(self) -> bool:
        """Whether it has the Lease, and knows all resources."""
        found = self.controllers.values()
        return bool(found) and all(controller.reflector.listed.is_set() for controller in found)

    def collect(self) -> list[Metric]:
        """Return the metrics as they are now."""
        requests = CounterMetricFamily("giantnetes_bridge_api_requests", "Requests to the host cluster's API.")
        requests.add_metric([], sum(kube.requests for kube in self._kubes))
        leading = GaugeMetricFamily("giantnetes_bridge_leading", "1 while this bridge has the Lease.")
        leading.add_metric([], float(self.leading))
        labels = ["kind"]
        waiting = GaugeMetricFamily("giantnetes_bridge_queue", "Resources that wait for a look.", labels=labels)
        known = GaugeMetricFamily("giantnetes_bridge_resources", "Resources that there are.", labels=labels)
        looks = CounterMetricFamily("giantnetes_bridge_reconciles", "Looks at resources.", labels=labels)
        failures = CounterMetricFamily("giantnetes_bridge_failures", "Looks that failed.", labels=labels)
        for kind, controller in self.controllers.items():
            waiting.add_metric([kind], len(controller.queue))
            known.add_metric([kind], len(controller.reflector.objects))
            looks.add_metric([kind], controller.reconciles)
            failures.add_metric([kind], controller.failures)
        told = (controller.metrics(controller.reflector.objects) for controller in self.controllers.values())
        return [requests, leading, waiting, known, looks, failures, *chain.from_iterable(told)]


@contextlib.asynccontextmanager
async def serving(vitals: Vitals, address: str) -> AsyncIterator[None]:
    """Serve ``/healthz``, ``/readyz``, ``/leading`` and ``/metrics`` at ``host:port`` meanwhile."""
    pages = {
        "/healthz": probes.answer(lambda: vitals.alive),
        "/readyz": probes.answer(lambda: vitals.ready),
        "/leading": probes.answer(lambda: vitals.leading),
        "/metrics": _metrics,
    }
    REGISTRY.register(vitals)
    try:
        async with probes.serving(address, pages):
            yield
    finally:
        REGISTRY.unregister(vitals)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
