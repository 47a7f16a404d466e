"""What a request costs its caller, and the headers that say how much of its budget is left.

A request costs one unit as soon as its caller is known; a call that holds several costs the others
once its body was read. The headers are those of draft-ietf-httpapi-ratelimit-headers, versions 08
to 11:

    RateLimit-Policy: "requests";q=200;w=2      200 units in 2 s
    RateLimit: "requests";r=143;t=1             143 are left, the next comes within 1 s
"""

from typing import Final

from starlette.requests import Request

from app.api.reply import Headers
from app.core.caller import Caller
from app.serving.access.accounts import Account
from app.serving.access.keys import ApiKey

RATE_HEADERS: Final = {
    "Retry-After": {
        "description": "seconds after which another try is likely to succeed, rounded up",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit-Policy": {
        "description": 'budgets of the key, where it has some: `"requests";q=200;w=2` is 200 units '
        "in 2 seconds; also in every other answer to the key",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": 'what is left of them: `"requests";r=143;t=1` is 143 units, and one more '
        "within a second; also in every other answer to the key",
        "schema": {"type": "string"},
    },
}
"""What OpenAPI says of the headers of a refusal."""

_POLICY: Final = b"ratelimit-policy"
_LEFT: Final = b"ratelimit"


def account_of(request: Request) -> Account:
    """Return the account of who sent a request: the edge knows."""
    account: Account = request.state.account
    return account


def bound(address: str, key: ApiKey, account: Account) -> Caller:
    """Return who asks with a key. `address`: of the caller."""
    return Caller(address, key.namespace, key.scenarios, account.lane, account.language)


def charge(request: Request, calls: int) -> None:
    """Spend what a request costs that holds several calls. Raises `RateLimitedError`."""
    budget = account_of(request).requests
    if budget is not None and calls > 1:
        budget.spend(calls - 1, paid=1)


def charge_text(request: Request) -> None:
    """Spend the text that a stream is asked for. Raises `RateLimitedError`."""
    budget = account_of(request).language
    if budget is not None:
        budget.spend()


def rate_headers(account: Account) -> Headers:
    """Return the headers about an account; none if it has no limit."""
    requests, language = account.requests, account.language
    if requests is None and language is None:
        return []
    if requests is None or language is None:
        only = requests or language
        return [(_POLICY, only.policy), (_LEFT, only.state)] if only is not None else []
    return [
        (_POLICY, b"%b, %b" % (requests.policy, language.policy)),
        (_LEFT, b"%b, %b" % (requests.state, language.state)),
    ]
