"""The waits of the worker, as the settings name them."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Schedules:
    """Between tries, between looks at what is not ready yet, and between read-backs after an
    unclear answer."""

    retry: tuple[timedelta, ...]
    wait: tuple[timedelta, ...]
    confirm: tuple[timedelta, ...]
