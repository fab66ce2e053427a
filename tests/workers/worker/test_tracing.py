"""Traces: one root for each operation, vendor calls as leaves, nothing when nobody asks."""

import http.server
import threading
from collections.abc import Iterator

import pytest
import urllib3
from opentelemetry import trace
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from api.status import Phase
from contracts.converter import data_converter
from tests.support.fakes import Script
from tests.workflows.conftest import served
from workers.worker.telemetry import set_up_tracing, tracing_wanted
from workers.worker.tracing import tracing_interceptors


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    """Where the spans of these tests go."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    set_up_tracing(provider)
    yield exporter
    URLLib3Instrumentor().uninstrument()
    provider.shutdown()


async def test_each_operation_is_one_trace(temporal: WorkflowEnvironment, exporter: InMemorySpanExporter) -> None:
    client = await Client.connect(
        temporal.client.service_client.config.target_host,
        data_converter=data_converter,
        interceptors=tracing_interceptors(),
    )
    async with served(temporal, Script(), client) as clusters:
        handle = await clusters.start("traced")
        await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
        await clusters.send(handle, "delete")
        await handle.result()
    spans = exporter.get_finished_spans()
    roots = {name: _trace(spans, f"RunWorkflow:{name}") for name in ("Cluster", "CreateCluster", "DeleteCluster")}
    assert len(set(roots.values())) == 3
    assert _trace(spans, "RunActivity:BootMachine") == roots["CreateCluster"]
    assert _trace(spans, "RunActivity:DeleteMachines") == roots["DeleteCluster"]
    for name in ("CreateCluster", "DeleteCluster"):
        inside = [span for span in spans if span.context and span.context.trace_id == roots[name]]
        assert [span.name for span in inside if span.parent is None] == [f"StartChildWorkflow:{name}"]


def test_requests_to_vendors_are_leaves(exporter: InMemorySpanExporter) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with trace.get_tracer(__name__).start_as_current_span("RunActivity:Something") as parent:
        urllib3.PoolManager().request("GET", f"http://127.0.0.1:{server.server_port}/", retries=False)
    server.shutdown()
    server.server_close()
    leaf = next(span for span in exporter.get_finished_spans() if span.name == "GET")
    assert leaf.parent is not None
    assert leaf.parent.span_id == parent.get_span_context().span_id


def test_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    assert not tracing_wanted()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert tracing_wanted()
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert not tracing_wanted()


def _trace(spans: tuple[ReadableSpan, ...], name: str) -> int:
    found = {span.context.trace_id for span in spans if span.name == name and span.context}
    assert len(found) == 1, f"{name} is in {len(found)} traces"
    return found.pop()
