"""The requests of all keys wait in one lane."""

from app.api import charging, fast_path, routes
from app.core.caller import Caller
from app.core.lane import OPEN_LANE
from app.serving.access.accounts import Account
from app.serving.access.keys import ApiKey


def seed() -> None:
    """Put every caller into the lane of services without keys."""
    right = charging.bound

    def in_one_lane(address: str, key: ApiKey, account: Account) -> Caller:
        return right(address, key, account)._replace(lane=OPEN_LANE)

    for module in (fast_path, routes):
        module.bound  # noqa: B018 - it must exist
        module.bound = in_one_lane
