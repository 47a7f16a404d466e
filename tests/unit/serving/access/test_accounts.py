"""Accounts: one for each key, which outlives changes of the file of keys."""

from dataclasses import replace

from app.serving.access.accounts import Accounts
from app.serving.access.keys import ApiKey, new_key
from app.serving.access.limits import KeyLimits
from tests.clock import Clock

_LIMITS = KeyLimits(rate=10.0, burst=5, language_rate=0.5)


def _key(limits: KeyLimits = _LIMITS) -> ApiKey:
    return replace(new_key("read", "", 0.0)[1], limits=limits)


def _spent_all(accounts: Accounts, key: ApiKey) -> int:
    budget = accounts.by_id[key.id].requests
    assert budget is not None
    return sum(budget.allows() for _ in range(100))


def test_a_key_has_the_budgets_that_its_limits_say() -> None:
    key, free = _key(), _key(KeyLimits())
    accounts = Accounts([key, free])
    found = accounts.by_id[key.id]
    assert [(b.name, b.rate, b.burst) for b in found.budgets()] == [
        ("requests", 10.0, 5),
        ("language", 0.5, 1),
    ]
    assert list(accounts.by_id[free.id].budgets()) == []
    assert list(accounts.by_id[""].budgets()) == []


def test_other_keys_that_change_bring_nothing_back() -> None:
    key, clock = _key(), Clock()
    accounts = Accounts([key], clock=clock)
    assert _spent_all(accounts, key) == 5
    accounts.replace([_key(), replace(key, note="of somebody else"), _key()])
    assert _spent_all(accounts, key) == 0
    accounts.replace([replace(key, chosen_priority="bulk")])
    assert accounts.by_id[key.id].priority == "bulk"
    assert _spent_all(accounts, key) == 0


def test_new_limits_of_a_key_hold_at_once() -> None:
    key, clock = _key(), Clock()
    accounts = Accounts([key], clock=clock)
    assert _spent_all(accounts, key) == 5
    accounts.replace([replace(key, limits=KeyLimits(rate=1.0, burst=2))])
    assert _spent_all(accounts, key) == 2


def test_the_budgets_in_use_are_known_by_the_name_that_they_share() -> None:
    key, other = _key(), _key()
    accounts = Accounts([key, other], KeyLimits(rate=1.0), clock=Clock())
    assert accounts.take_used() == {}
    _spent_all(accounts, key)
    _spent_all(accounts, other)
    _spent_all(accounts, ApiKey("", "read", b"", 0.0))
    accounts.replace([key])
    assert accounts.take_used() == {
        f"{key.id}:requests": accounts.by_id[key.id].requests,
        "anonymous:requests": accounts.by_id[""].requests,
    }
    assert accounts.take_used() == {}


def test_a_revoked_key_has_no_account_any_more() -> None:
    key, other = _key(), _key()
    accounts = Accounts([key, other])
    accounts.replace([other])
    assert accounts.by_id.keys() == {"", other.id}


def test_callers_without_a_key_share_one_account_that_stays() -> None:
    accounts = Accounts(limits=KeyLimits(rate=1.0), clock=Clock())
    before = accounts.by_id[""]
    accounts.replace([_key()])
    assert accounts.by_id[""] is before
    assert _spent_all(accounts, ApiKey("", "read", b"", 0.0)) == 1
