"""Every error of this product. An error carries the verdict: can trying again help, and may
something have happened already?"""

from bridge.domain.reasons import Reason


class BridgeError(Exception):
    """Whatever we raise on purpose. Its text says what, which and why, and never holds a secret."""


class SettingsError(BridgeError):
    """The settings are wrong; `problems` has all of them at once, each with what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TemporaryError(BridgeError):
    """Nothing was changed and trying again can help. `retry_after` is what the vendor asks for, in
    seconds."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ThrottledError(TemporaryError):
    """The vendor or our own rate limit makes us wait: no attempt is spent. `system` is the vendor,
    as settings and tables name it."""

    def __init__(
        self, message: str, *, retry_after: float | None = None, system: str | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.system = system


class KeysUnavailableError(TemporaryError):
    """No signature key could be fetched yet, so no signature can be checked."""


class StorageError(TemporaryError):
    """The database can't take it now."""


class MissingDatabaseError(BridgeError):
    """There is no database yet where one is looked for, or one of another version."""


class DryRunError(TemporaryError):
    """BRIDGE_DRY_RUN is set, so nothing was sent."""


class UnclearError(BridgeError):
    """A write left us and no clear answer came back: it may have happened. Never simply
    repeated."""


class PermanentError(BridgeError):
    """Trying the same again can't help. `reason` is a row of the closed list, `status` and `body`
    are the HTTP status and the JSON that the vendor answered, if any."""

    reason = Reason.REJECTED_BY_PURPLE_DOT

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        status: int | None = None,
        body: object = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason or type(self).reason
        self.status = status
        self.body = body


class NotFoundError(PermanentError):
    """The vendor says that it has no such thing."""


class CredentialsError(PermanentError):
    """The vendor refused our credentials, or sent us to its login page. A person can correct them
    while we go on trying."""

    reason = Reason.CREDENTIALS_REFUSED


class PayloadError(PermanentError):
    """Outside data is not of the shape it must have."""

    reason = Reason.BAD_SHAPE


class ForeignUrlError(PayloadError):
    """A URL from outside points somewhere our credentials must never go."""

    reason = Reason.FOREIGN_URL


class AuthenticationError(BridgeError):
    """The sender could not prove who it is; `cause` is one word for the counter, such as
    `signature_wrong`."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class RefusedError(BridgeError):
    """What a person asked for would do harm, or comes too late."""


class LookFirstError(RefusedError):
    """A parcel may be posted already: a person has to look into Purple Dot before it is posted
    again. Its text asks the question; where it is shown, how to answer it is added."""


class LeaseLostError(BridgeError):
    """Another worker took the work over while we were late; our outcome must not be written."""
