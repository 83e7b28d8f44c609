"""Traces for OpenTelemetry, for those who ask for them by its standard variables. Nothing of it is imported otherwise.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) turns them on; where they go, how often and with which headers is
read by the SDK from its other variables (OpenTelemetry specification, "Environment Variable Specification"). Spans are
sent by a thread of the SDK: a collector that is down costs spans and never a pass.
"""

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from reconciler.errors import CatwalkError, EnvironmentFault
from reconciler.loop.tracing import Attribute, Span, Step, Tracer, traced_by

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN: Final = "http/protobuf"
LAST_SPANS_S: Final = 3.0
"""How long a process that ends waits for the collector."""


@asynccontextmanager
async def traces(environment: Mapping[str, str]) -> AsyncGenerator[None]:
    """Traces what runs inside the block, if the environment asks for it; what is left is sent before it ends.

    Raises:
        EnvironmentFault: traces are asked for, and the SDK is not installed or the protocol not spoken.
    """
    if not _wanted(environment):
        yield
        return
    _require_protocol(environment)
    provider = _provider()
    try:
        with traced_by(OpenTelemetryTracer(provider)):
            yield
    finally:
        with anyio.move_on_after(LAST_SPANS_S, shield=True):
            await anyio.to_thread.run_sync(provider.shutdown, abandon_on_cancel=True)


def _wanted(environment: Mapping[str, str]) -> bool:
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    chosen = environment.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    return not disabled and chosen and any(environment.get(name) for name in ENDPOINTS)


def _require_protocol(environment: Mapping[str, str]) -> None:
    name = next((name for name in PROTOCOLS if environment.get(name)), "")
    if name and environment[name] != SPOKEN:
        raise EnvironmentFault(
            "otel-protocol",
            f"{name} asks for {environment[name]}, and traces are sent by {SPOKEN} alone",
            hint=f"set it to {SPOKEN} and the endpoint to the HTTP port of the collector, which is usually 4318",
        )


def _provider() -> "TracerProvider":
    """Raises: EnvironmentFault: the SDK is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - Opt-in.
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - As above.
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - As above.
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - As above.
    except ImportError as error:
        raise EnvironmentFault(
            "otel-missing",
            "traces are asked for by OTEL_EXPORTER_OTLP_ENDPOINT, and OpenTelemetry is not installed",
            hint="pip install 'catwalk-live[otel]', or unset the variable",
        ) from error
    own = Resource({"service.name": "catwalk", "service.version": version("catwalk-live")})
    provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class OpenTelemetryTracer(Tracer):
    """Spans of a pass as OpenTelemetry has them."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._tracer = provider.get_tracer("catwalk", version("catwalk-live"))

    @contextmanager
    def span(self, step: Step, attributes: Mapping[str, Attribute]) -> Generator[Span]:
        # The SDK would record an exception with its text, which may quote a secret.
        opened = self._tracer.start_as_current_span(
            f"catwalk.{step}", record_exception=False, set_status_on_exception=False
        )
        with opened as current:
            noted = _Noted(current)
            noted.note(**attributes)
            try:
                yield noted
            except Exception as error:
                noted.fail(error)
                raise


class _Noted:
    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    def note(self, **attributes: Attribute) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(f"catwalk.{name}", value)

    def fail(self, error: Exception) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - Opt-in: whoever gets here has it loaded.

        code = error.problem.code if isinstance(error, CatwalkError) else type(error).__name__
        self._span.set_status(StatusCode.ERROR, code)
