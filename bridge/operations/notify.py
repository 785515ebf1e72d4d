"""Sends a message to one Apprise URL. The URL is a secret: neither it nor a part of it leaves here.
https://github.com/caronc/apprise"""

import logging
import re
from urllib.parse import unquote

from pydantic import SecretStr


def send(url: SecretStr, *, title: str, body: str) -> str | None:
    """None when the message was taken, else why not, in the service's words without any part of the
    URL. Raises nothing for a failure."""
    import apprise  # Loaded only where alerts are wanted: it knows more than a hundred services.

    secret, library = url.get_secret_value(), logging.getLogger("apprise")
    library.propagate = False  # Its own lines tell URLs.
    with apprise.LogCapture(level=logging.WARNING) as said:  # type: ignore[no-untyped-call]  # the library is untyped here
        server = apprise.Apprise()
        was_sent = server.add(secret) and server.notify(title=title, body=body)
        return (
            None
            if was_sent
            else hidden(said.getvalue(), secret) or "not sent, and the service did not say why"
        )


def masked(url: SecretStr) -> str:
    """For people: the service alone."""
    return f"{url.get_secret_value().partition('://')[0].lower()}://***"


def hidden(text: str, secret: str) -> str:
    """One line of `text` without any part of the URL, as it is written or decoded."""
    parts = {
        part
        for form in (secret, unquote(secret))
        for part in re.split(r"[^\w.@%-]+", form.partition("://")[2])
    }
    line = " ".join(re.sub(r"^[\d-]+ [\d:,]+ - \w+ - ", "", line) for line in text.splitlines())
    for part in sorted(parts, key=len, reverse=True):
        line = line.replace(part, "***") if len(part) > 2 else line
    return line[:300]
