"""Logs: one line for each event, on stderr, with its fields; whatever looks like a secret is masked
on the way out."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, TextIO

import structlog
from structlog.processors import TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from bridge.domain.text import printable

Format = Literal["json", "console"]
_SECRET_NAME = re.compile(
    r"token|authorization|api[-_]?key|secret|password|passwd|cookie|credential", re.IGNORECASE
)
_SECRET_TEXT = (
    r"(/webhooks/shipstation/)[^\s/?#\"']+",  # the path that a token opens
    r"(://)[^\s/@\"']+(?=@)",  # user and password in a URL, such as the database's
    # the digit tells a credential from a sentence about one
    r"(\b(?:Bearer|Basic) +)(?=[^\s\"']*[0-9=])[^\s\"',]+",
    # headers, pairs
    r"((?:api-key|bridge-token|access-token)[\"']?\s*[:=]\s*[\"']?|(?:token|api_?key|secret|password)=)"
    r"[^\s&\"',;]+",
)
_SECRET_TEXTS = [re.compile(pattern, re.IGNORECASE) for pattern in _SECRET_TEXT]
_PLAIN_WORD = re.compile(r"[\w.-]*", re.ASCII)
"""Such as an id or a status: no pattern above can fit it, and most of what is logged is one."""
_OWN_SECRETS: dict[str, str] = {}
_SHORTEST_SECRET = 8
_FIRST: tuple[Processor, ...] = (structlog.contextvars.merge_contextvars, add_log_level)
_TIME = TimeStamper(fmt="iso", utc=True)
# `mask_secrets` leaves nothing in a line that JSON doesn't have.
_TO_JSON = json.JSONEncoder().encode


class StderrHandler(logging.StreamHandler[TextIO]):
    """Takes the current `sys.stderr` for each line, so a replaced stream is followed and a closed
    one is never kept."""

    stream = property(lambda _: sys.stderr)

    def __init__(self, format: Format = "json") -> None:
        logging.Handler.__init__(self)
        processors = [ProcessorFormatter.remove_processors_meta, *_last(format)]
        self.setFormatter(
            ProcessorFormatter(foreign_pre_chain=[*_FIRST, add_logger_name], processors=processors)
        )


class _Stderr:
    """Where our own lines end. Straight there, without the standard library's logging: the receiver
    writes one for each webhook."""

    def msg(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


def _last(format: Format) -> tuple[Processor, ...]:
    if format == "json":
        return (format_exc_info, mask_secrets, _TIME, lambda _logger, _name, line: _TO_JSON(line))
    # The pretty tracebacks would print local variables, secrets among them.
    plain = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return (format_exc_info, mask_secrets, _printable, _TIME, plain)


def _printable(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """A terminal obeys control characters: no text from outside may clear it, or begin a line. JSON
    escapes them by itself."""
    safe: EventDict = {}
    for key, value in event_dict.items():
        if isinstance(value, str):
            lines = value.split("\n") if key == "exception" else [value]
            value = "\n".join(map(printable, lines))  # noqa: PLW2901  # the same field, made safe
        safe[key] = value
    return safe


def configure_logs(format: Format = "json", level: str = "INFO") -> None:
    """Sets up structlog and the standard library's logging alike; calling it again replaces the
    earlier set-up."""
    structlog.configure(
        processors=[*_FIRST, *_last(format)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Stderr(),
    )
    root = logging.getLogger()
    others = [handler for handler in root.handlers if not isinstance(handler, StderrHandler)]
    root.handlers = [*others, StderrHandler(format)]
    root.setLevel(level)
    # Otherwise every request to /readyz would write two lines.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Its DEBUG lines hold URLs, and some alert URLs have a token in their path.
    logging.getLogger("urllib3").setLevel(logging.INFO)


def gunicorn_logging(format: Format = "json", level: str = "INFO") -> dict[str, Any]:
    """gunicorn's `logconfig_dict`: its own lines go the same way as ours.
    https://docs.gunicorn.org/en/stable/settings.html#logconfig-dict"""
    logger = {"level": level, "handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"()": StderrHandler, "format": format}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": logger, "gunicorn.access": logger},
    }


def mask_secrets(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """No token, key, password or token-bearing URL leaves, whatever field or text it hides in."""
    return {key: _masked(value, name=key) for key, value in event_dict.items()}


def mask_values(secrets: Iterable[str]) -> None:
    """From now on mask these wherever they stand, whatever is around them. Short ones are left out:
    they would blot out words."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            _OWN_SECRETS[secret] = "***"


def masked_text(text: str) -> str:
    """The text with everything that looks like a secret as `***`."""
    for secret, mask in _OWN_SECRETS.items():
        if secret in text:
            text = text.replace(secret, mask)
    if _PLAIN_WORD.fullmatch(text):
        return text
    for pattern in _SECRET_TEXTS:
        text = pattern.sub(r"\1***", text)
    return text


@lru_cache(maxsize=512)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _masked(value: object, *, name: str) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value  # under such a name, a count or a mode
    if _is_secret(name):
        return "***"
    if isinstance(value, Mapping):
        return {str(key): _masked(inner, name=str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner, name=name) for inner in value]
    return masked_text(str(value))
