"""All errors that the service raises itself: each has a stable code and a message safe to show.

Errors of libraries (FAISS, Redis, ONNX Runtime …) are translated into one of these where they
arise. This module does not know HTTP: `app.api.problems` holds the one table of statuses.
"""


class AppError(Exception):
    """Base of all our errors.

    Attributes:
        code: stable, machine-readable name of the kind of failure.
        message: safe to show to a caller: no path, no trace, no version.
        field: the request field at fault, where there is one.
    """

    code = "internal"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidRequestError(AppError):
    """The request can never work as it is."""

    code = "invalid_request"


class NotFoundError(AppError):
    """The thing named in the request does not exist."""

    code = "not_found"


class UnauthenticatedError(AppError):
    """The caller has to say who it is, with a valid key."""

    code = "unauthenticated"


class ForbiddenError(AppError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class BodyTooLargeError(AppError):
    """The request body is larger than the configured limit."""

    code = "body_too_large"


class TargetTooLongError(AppError):
    """The address of a request is longer than the limit."""

    code = "target_too_long"


class HeadTooLargeError(AppError):
    """The headers of a request are too many, or too large together."""

    code = "headers_too_large"


class ReceiveTimeoutError(AppError):
    """The request did not arrive in time."""

    code = "receive_timeout"


class ConnectionLimitError(AppError):
    """Too many connections are open, and all of them are being answered."""

    code = "too_many_connections"


class UnsupportedEncodingError(AppError):
    """The request body is compressed in a way that is not read."""

    code = "unsupported_encoding"


class TryLaterError(AppError):
    """The work was not started; the same request may succeed later. The kinds below say why.

    Attributes:
        retry_after_ms: after how many milliseconds another try is likely to succeed.
    """

    code = "try_later"

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class OverloadedError(TryLaterError):
    """There is no room, or too little time: the work was not started."""

    code = "overloaded"


class RateLimitedError(TryLaterError):
    """The caller has spent what its key may spend in so much time."""

    code = "rate_limited"


class DeadlineExceededError(AppError):
    """The time budget of the request ran out before there was an answer."""

    code = "deadline_exceeded"


class NotReadyError(AppError):
    """The service is starting, stopping or has lost its engine."""

    code = "not_ready"


class EngineError(AppError):
    """A model stage failed on this input."""

    code = "engine_failed"


class StoreError(AppError):
    """A store (events, users, journal) cannot be read or written right now."""

    code = "store_unavailable"


class StoreFullError(StoreError):
    """A store has no room for what was to be written; nothing of it was stored."""

    code = "store_full"


class LanguageModelError(AppError):
    """The language model gave no answer that can be used.

    Attributes:
        reason: timeout, unreachable, refused (a status of failure), redirected, too_large or
            wrong_json.
        retry_after_s: how many seconds the endpoint asks to be left alone; 0 = it does not say.
    """

    code = "language_model_failed"

    def __init__(self, message: str, *, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class DeviceError(AppError):
    """The device that the settings name cannot be used."""

    code = "device_missing"


class BundleError(AppError):
    """A bundle is damaged, incomplete or does not fit this version."""

    code = "bundle_invalid"


class BadDataError(AppError):
    """Input files cannot be used: unreadable, or most of their rows are wrong."""

    code = "bad_data"


class PromotionError(AppError):
    """A new bundle ranks worse than the one being served, so it was not published."""

    code = "not_promoted"


class UsageError(AppError):
    """A command or a recipe is written wrongly."""

    code = "usage"
