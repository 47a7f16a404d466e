"""The errors of the house: a small tree, each with a stable code and a text that is safe to show.

Foreign errors (FAISS, Redis, ONNX Runtime …) are translated into one of these at the edge where
they arise. This module does not know HTTP: which status an error gets is decided in one table,
`app.api.problems`.
"""


class AppError(Exception):
    """Base of all our errors.

    Attributes:
        code: stable, machine-readable name of the kind of failure.
        message: safe to show to a caller: no path, no trace, no version.
        field: the request field at fault, where there is one.
        retryable: whether the same call may succeed later.
    """

    code = "internal"
    retryable = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidRequestError(AppError):
    """The caller asked for something that can never work."""

    code = "invalid_request"


class NotFoundError(AppError):
    """The thing named in the request does not exist."""

    code = "not_found"


class BodyTooLargeError(AppError):
    """The request body is larger than the configured limit."""

    code = "body_too_large"


class OverloadedError(AppError):
    """No room, or no time left: the work was not started.

    Attributes:
        retry_after_ms: when trying again is likely to succeed, in milliseconds.
    """

    code = "overloaded"
    retryable = True

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class DeadlineExceededError(AppError):
    """The time budget of the request ran out before the answer was there."""

    code = "deadline_exceeded"
    retryable = True


class NotReadyError(AppError):
    """The service is starting, stopping or has lost its engine."""

    code = "not_ready"
    retryable = True


class EngineError(AppError):
    """A model stage failed on this input."""

    code = "engine_failed"


class StoreError(AppError):
    """User state cannot be read or written right now."""

    code = "store_unavailable"
    retryable = True


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
    """A command or recipe was written wrongly."""

    code = "usage"
