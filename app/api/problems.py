"""JSON problems: one table from our errors to HTTP statuses, and one shape of body.

{"error": {"code": …, "message": …, "field"?: …, "retry_after_ms"?: …, "request_id": …}}
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.api.reply import Reply, json_reply
from app.core import errors
from app.core.strict_json import check_names, check_size
from app.core.unknown_fields import unknown_field
from app.core.validation_words import words_for

log = logging.getLogger(__name__)

STATUS: Final[Mapping[type[errors.AppError], int]] = {
    errors.InvalidRequestError: 422,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.BodyTooLargeError: 413,
    errors.ReceiveTimeoutError: 408,
    errors.TargetTooLongError: 414,
    errors.HeadTooLargeError: 431,
    errors.ConnectionLimitError: 503,
    errors.UnsupportedEncodingError: 415,
    errors.TryLaterError: 429,
    errors.OverloadedError: 429,
    errors.RateLimitedError: 429,
    errors.DeadlineExceededError: 504,
    errors.NotReadyError: 503,
    errors.StoreError: 503,
    errors.StoreFullError: 507,
    errors.EngineError: 500,
    errors.LanguageModelError: 500,
    errors.DeviceError: 500,
    errors.BundleError: 409,
    errors.BadDataError: 500,
    errors.PromotionError: 500,
    errors.UsageError: 500,
    errors.AppError: 500,
}

MEANING: Final[Mapping[int, str]] = {
    401: "An API key is needed, or it is not valid.",
    403: "The role of the key does not reach.",
    404: "There is no such thing.",
    408: "The request did not arrive in time.",
    409: "The bundle cannot serve; the one before serves on.",
    413: "The body is larger than the limit.",
    414: "The address is longer than the limit.",
    415: "The body is compressed, and not with gzip.",
    422: "The request can never work; `field` says where.",
    429: "Overloaded, or the budget of the key is spent (`rate_limited`): nothing was started; "
    "try again after `retry_after_ms`.",
    431: "The headers are too many, or too large.",
    500: "A fault of ours.",
    503: "Starting, stopping, or the engine is gone.",
    504: "The time budget ran out.",
    507: "The store is full; nothing was stored.",
}


def problem(error: errors.AppError, request_id: str) -> dict[str, Any]:
    """Return the `error` object of one failure, ready for JSON."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.field is not None:
        body["field"] = error.field
    if isinstance(error, errors.TryLaterError):
        body["retry_after_ms"] = error.retry_after_ms
    body["request_id"] = request_id
    return body


def problem_reply(error: errors.AppError, request_id: str) -> Reply:
    """Return the reply for one failure."""
    status, body = STATUS[type(error)], orjson.dumps({"error": problem(error, request_id)})
    if isinstance(error, errors.UnauthenticatedError):
        return json_reply(status, body, (b"www-authenticate", b"Bearer"))
    if isinstance(error, errors.UnsupportedEncodingError):
        return json_reply(status, body, (b"accept-encoding", b"gzip"))
    if not isinstance(error, errors.TryLaterError):
        return json_reply(status, body)
    # The header has whole seconds. They are rounded up: an earlier try would be refused again.
    return json_reply(status, body, (b"retry-after", b"%d" % -(-error.retry_after_ms // 1000)))


def translate(error: Exception, model: type[BaseModel] | None = None) -> errors.AppError:
    """Return an error of ours for any exception. Unknown ones are logged and become `internal`.

    `model`: what was validated; with it, the message for an unknown field names the nearest one.
    """
    if isinstance(error, errors.AppError):
        return error
    if isinstance(error, ValidationError):
        return _invalid(error, model)
    log.error("unexpected failure", exc_info=error)
    return errors.AppError("internal error")


T = TypeVar("T", bound=BaseModel)

_MOST_TOLD: Final = 256
"""Errors of a body of which the first one is told."""


def read_as(model: type[T], body: bytes, *, with_nan: bool = False) -> T:
    """Return a body as a model. `with_nan`: NaN is refused later, with the entry that has it.

    Raises:
        InvalidRequestError: it does not fit, or is no strict JSON; the message says how.
    """
    check_size(body)
    try:
        read = model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error, model) from error
    check_names(body, len(read.model_fields_set), with_nan=with_nan)
    return read


def _invalid(error: ValidationError, model: type[BaseModel] | None) -> errors.InvalidRequestError:
    """Return the first error of a validation; the input itself is never sent back."""
    if error.error_count() > _MOST_TOLD:  # to spell them out takes longer than all the rest
        return errors.InvalidRequestError(f"more than {_MOST_TOLD} fields or values are wrong")
    first = _telling(error.errors(include_url=False))
    field = ".".join(str(part) for part in first["loc"]) or first.get("ctx", {}).get("field")
    if model is not None and first["type"] == "extra_forbidden":
        return errors.InvalidRequestError(unknown_field(model, first["loc"]), field=field)
    return errors.InvalidRequestError(words_for(first), field=field)


def _telling(found: Sequence[ErrorDetails]) -> ErrorDetails:
    """Return the first error; but where a field is missing, an unknown one beside it says more."""
    first = found[0]
    if first["type"] == "missing":
        for each in found:
            if each["type"] == "extra_forbidden" and each["loc"][:-1] == first["loc"][:-1]:
                return each
    return first
