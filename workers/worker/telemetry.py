"""Metrics, traces and logs of a process, set up by the standard variables."""

import functools
import logging
import os
from typing import TextIO

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

SERVICE = "giantnetes-worker"
EXPORTER = "OTEL_TRACES_EXPORTER"
ASKING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", EXPORTER)
"""Traces are exported when one of these is set."""

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
"""How to export; the first that is set counts."""

PROTOCOL = "http/protobuf"

log = structlog.get_logger(__name__)


def runtime(metrics_address: str | None) -> Runtime:
    """Return the process's Temporal runtime; serves Temporal's and our metrics at ``host:port`` if given."""
    metrics = (
        PrometheusConfig(
            bind_address=metrics_address,
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        )
        if metrics_address
        else None
    )
    # Its own lines would not be JSON, as all others are.
    logging_config = LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logger=logging.getLogger("temporal")),
    )
    return Runtime(telemetry=TelemetryConfig(metrics=metrics, logging=logging_config))


def tracing_wanted() -> bool:
    """Say whether traces are asked for (OpenTelemetry: environment variable specification).

    What is asked for but can't be done is logged, once.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(map(os.environ.get, ASKING)):
        return False
    wanted = {name.strip() for name in (os.environ.get(EXPORTER) or "otlp").split(",")}
    for exporter in sorted(wanted - {"otlp", "none"}):
        _complain(f"{EXPORTER} names {exporter}, which giantnetes does not have: use otlp")
    if "otlp" not in wanted:
        return False
    variable = next((name for name in PROTOCOLS if os.environ.get(name)), PROTOCOLS[-1])
    if (protocol := os.environ.get(variable) or PROTOCOL) == PROTOCOL:
        return True
    _complain(f"{variable} is {protocol}, but giantnetes exports by {PROTOCOL} alone: no trace is exported")
    return False


@functools.cache
def _complain(about: str) -> None:
    log.warning("traces are not exported as asked for", reason=about)


def set_up_tracing(provider: TracerProvider | None = None) -> TracerProvider:
    """Install a tracer provider that exports by OTLP, and spans for every request to Vault and Kubernetes."""
    if provider is None:
        # Merged last, what the environment says of the service wins over its usual name.
        named = Resource.create({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
        provider = TracerProvider(resource=named)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    URLLib3Instrumentor().instrument(tracer_provider=provider)
    return provider


def set_up_logging(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Write one JSON object a line, with what the interceptor bound: cluster, step, attempt.

    It goes to standard error, or to ``stream``.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
