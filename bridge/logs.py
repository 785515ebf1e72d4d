"""Logs: one line for each event, on stderr, with its fields; whatever looks like a secret is masked on the way out."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import LoggerFactory, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["json", "console"]
_SECRET_NAME = re.compile(r"token|authorization|api[-_]?key|secret|password|passwd|cookie|credential", re.IGNORECASE)
_SECRET_TEXT = (
    r"(/webhooks/shipstation/)[^\s/?#\"']+",  # the path that a token opens
    r"(://)[^\s/@\"']+(?=@)",  # user and password in a URL, such as the database's
    r"(\b(?:Bearer|Basic) +)(?=[^\s\"']*[0-9=])[^\s\"',]+",  # the digit tells a credential from a sentence about one
    r"((?:api-key|bridge-token|access-token)[\"']?\s*[:=]\s*[\"']?|(?:token|api_?key|secret|password)=)[^\s&\"',;]+",  # headers, pairs
)
_FIRST: tuple[Processor, ...] = (structlog.contextvars.merge_contextvars, add_log_level, TimeStamper(fmt="iso", utc=True))


class StderrHandler(logging.StreamHandler[TextIO]):
    """Looks stderr up for each line, so that a redirected or replaced stream is followed and a closed one is never kept."""

    stream = property(lambda _: sys.stderr)

    def __init__(self, format: Format = "json") -> None:
        logging.Handler.__init__(self)
        # The pretty tracebacks would print local variables, secrets among them.
        plain = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        last = (ProcessorFormatter.remove_processors_meta, format_exc_info, mask_secrets, JSONRenderer() if format == "json" else plain)
        self.setFormatter(ProcessorFormatter(foreign_pre_chain=[*_FIRST, add_logger_name], processors=last))


def configure_logs(format: Format = "json", level: str = "INFO") -> None:
    """Sets up structlog and the standard library's logging alike; calling it again replaces the earlier set-up."""
    ours, logger = [*_FIRST, ProcessorFormatter.wrap_for_formatter], structlog.make_filtering_bound_logger(level)
    structlog.configure(processors=ours, wrapper_class=logger, logger_factory=LoggerFactory())
    root = logging.getLogger()
    root.handlers = [*(handler for handler in root.handlers if not isinstance(handler, StderrHandler)), StderrHandler(format)]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # Else every look at /readyz would write two lines.


def gunicorn_logging(format: Format = "json", level: str = "INFO") -> dict[str, Any]:
    """gunicorn's `logconfig_dict`: its own lines go the same way as ours. https://docs.gunicorn.org/en/stable/settings.html#logconfig-dict"""
    handlers, root = {"stderr": {"()": StderrHandler, "format": format}}, {"level": level, "handlers": ["stderr"]}
    loggers = {name: {"level": level, "handlers": [], "propagate": True} for name in ("gunicorn.error", "gunicorn.access")}
    return {"version": 1, "disable_existing_loggers": False, "handlers": handlers, "root": root, "loggers": loggers}


def mask_secrets(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """No token, key, password or token-bearing URL leaves, whatever field or text it hides in."""
    return {key: _masked(value, name=key) for key, value in event_dict.items()}


def masked_text(text: str) -> str:
    """The text with everything that looks like a secret as `***`."""
    for pattern in _SECRET_TEXT:
        text = re.sub(pattern, r"\1***", text, flags=re.IGNORECASE)
    return text


def _masked(value: object, *, name: str) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value  # under such a name, a count or a mode
    if _SECRET_NAME.search(name):
        return "***"
    if isinstance(value, Mapping):
        return {str(key): _masked(inner, name=str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner, name=name) for inner in value]
    return masked_text(str(value))
