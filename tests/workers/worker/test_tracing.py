"""Traces: one root for each operation, vendor calls as leaves, nothing when nobody asks."""

import http.server
import os
import threading
from collections.abc import Iterator

import pytest
import structlog
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
from workers.worker import telemetry
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


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nobody has said anything about traces, in a process that has not complained yet."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    telemetry._complain.cache_clear()
    return monkeypatch


def test_off_unless_asked_for(variables: pytest.MonkeyPatch) -> None:
    assert not tracing_wanted()
    variables.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert tracing_wanted()
    variables.setenv("OTEL_TRACES_EXPORTER", "none")
    assert not tracing_wanted()


@pytest.mark.parametrize(
    ("asked", "wanted", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, []),
        ({"OTEL_TRACES_EXPORTER": "console"}, False, ["OTEL_TRACES_EXPORTER names console", "use otlp"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, zipkin"}, True, ["OTEL_TRACES_EXPORTER names zipkin"]),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True, []),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            False,
            ["OTEL_EXPORTER_OTLP_PROTOCOL is grpc", "by http/protobuf"],
        ),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            True,
            [],
        ),
    ],
)
def test_what_can_t_be_done_is_told_once(
    variables: pytest.MonkeyPatch, asked: dict[str, str], wanted: bool, told: list[str]
) -> None:
    variables.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    for name, value in asked.items():
        variables.setenv(name, value)
    with structlog.testing.capture_logs() as logs:
        assert tracing_wanted() is wanted
        assert tracing_wanted() is wanted
    assert len(logs) == bool(told)
    assert [part for part in told if part not in logs[0]["reason"]] == []


def test_the_environment_names_the_service(variables: pytest.MonkeyPatch) -> None:
    variables.setattr(trace, "set_tracer_provider", lambda _: None)
    variables.setattr(URLLib3Instrumentor, "instrument", lambda *_, **__: None)
    assert _service() == "giantnetes-worker"
    variables.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=of-attributes,site=default")
    assert _service() == "of-attributes"
    variables.setenv("OTEL_SERVICE_NAME", "of-the-name")
    assert _service() == "of-the-name"


def _service() -> object:
    provider = set_up_tracing()
    provider.shutdown()
    return provider.resource.attributes["service.name"]


def _trace(spans: tuple[ReadableSpan, ...], name: str) -> int:
    found = {span.context.trace_id for span in spans if span.name == name and span.context}
    assert len(found) == 1, f"{name} is in {len(found)} traces"
    return int(found.pop())
