"""Where log lines of this process go: to stderr, so that stdout holds only what was asked for.

Events are for people who look into a fault; what a person follows is told by the progress output. APScheduler logs
every missed tick, which is no news to anybody.
"""

import logging
import sys

import structlog


def send_logs_to_stderr(*, verbose: bool) -> None:
    """Warnings and errors as lines; with `verbose`, everything."""
    level = logging.DEBUG if verbose else logging.WARNING
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
