"""Logs: one line for each event, on stderr, with its fields; whatever looks like a secret is masked on the way out."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "***"

_SECRET_NAME = re.compile(r"token|authorization|api[-_]?key|secret|password|passwd|cookie|credential", re.IGNORECASE)
_SECRET_TEXT = (
    # The path that a token opens.
    (re.compile(r"(/webhooks/shipstation/)[^\s/?#\"']+", re.IGNORECASE), rf"\1{MASK}"),
    # User and password in a URL, such as the database's.
    (re.compile(r"(://)[^\s/@\"']+@"), rf"\1{MASK}@"),
    # Authorization schemes; the digit tells a credential from a sentence about one.
    (re.compile(r"\b(Bearer|Basic) +(?=[^\s\"']*[0-9=])[^\s\"',]+", re.IGNORECASE), rf"\1 {MASK}"),
    # Headers that carry a credential, as an exception's text may quote them.
    (re.compile(r"((?:api-key|x-bridge-token|x-purple-dot-access-token)[\"']?\s*[:=]\s*[\"']?)[^\s\"',]+", re.IGNORECASE), rf"\1{MASK}"),
    # Query strings and key=value pairs.
    (re.compile(r"((?:token|api_?key|secret|password)=)[^\s&\"',;]+", re.IGNORECASE), rf"\1{MASK}"),
)


def configure_logs(format: Literal["json", "console"] = "json", level: str = "INFO") -> None:
    """Sets up structlog and the standard library's logging alike; calling it again replaces the earlier set-up."""
    structlog.configure(
        processors=[*_first_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, StderrHandler)]:
        root.removeHandler(earlier)
    root.addHandler(stderr_handler(format))
    root.setLevel(level)


def gunicorn_logging(format: Literal["json", "console"] = "json", level: str = "INFO") -> dict[str, Any]:
    """gunicorn's `logconfig_dict`: its own lines go the same way as ours. https://docs.gunicorn.org/en/stable/settings.html#logconfig-dict"""
    through_root = {"level": level, "handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"()": stderr_handler, "format": format}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": through_root, "gunicorn.access": through_root},
    }


class StderrHandler(logging.StreamHandler[TextIO]):
    """Looks stderr up for each line, so that a redirected or replaced stream is followed and a closed one is never kept."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # the parent keeps the stream it was made with
        return sys.stderr


def stderr_handler(format: Literal["json", "console"]) -> StderrHandler:
    """Renders lines of structlog and of the standard library in the same shape."""
    handler = StderrHandler()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_first_processors(), structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            mask_secrets,
            _renderer(format),
        ],
    )
    handler.setFormatter(formatter)
    return handler


def mask_secrets(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """No token, key, password or token-bearing URL leaves, whatever field or text it hides in."""
    return {key: _masked(value, name=key) for key, value in event_dict.items()}


def masked_text(text: str) -> str:
    """The text with everything that looks like a secret as `***`; also for what commands print."""
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _masked(value: object, *, name: str) -> object:
    # Numbers and flags under such a name are counts and modes, not secrets.
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): _masked(inner, name=str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner, name=name) for inner in value]
    return masked_text(str(value))


def _first_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,  # event_id and delivery_id, bound where the work begins
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _renderer(format: Literal["json", "console"]) -> Processor:
    if format == "json":
        return structlog.processors.JSONRenderer()
    # The pretty tracebacks would print local variables, secrets among them.
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
