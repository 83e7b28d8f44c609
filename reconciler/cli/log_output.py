"""Where log lines of this process go: to stderr, so that stdout holds only what was asked for.

Events are for people who look into a fault; what a person follows is told by the progress output. A service is read by
programs: its lines are JSON, one object each, with the pass, revision and server that they belong to. APScheduler logs
every missed tick, which is no news to anybody.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Final

import structlog
import structlog.tracebacks
from structlog.typing import Processor


def send_logs_to_stderr(*, verbose: bool) -> None:
    """Warnings and errors as lines; with `verbose`, everything."""
    level = logging.DEBUG if verbose else logging.WARNING
    _configure(
        level,
        [
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
    )


def send_json_logs_to_stderr(*, level: int) -> None:
    """Lines from `level` on as JSON, also those of libraries that use Python's own logging."""
    renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    _configure(level, [_TRACEBACKS, renderer])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder(), _TRACEBACKS],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


_SHARED: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)

_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
"""Without the values of variables, among which there may be secrets."""


def _configure(level: int, rendering: Sequence[Processor]) -> None:
    structlog.configure(
        processors=[*_SHARED, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
