"""How stores identify a user: by a hash of the user key, and by an epoch.

The hash is the name of a user's record, so that a deleted user leaves no id behind. The epoch is
random and changes when the user is deleted, so that versions and cursors from before do not match.
"""

import hashlib
import secrets


def hashed_user(user: str) -> str:
    """Return the 32 hexadecimal digits under which a store keeps a user.

    >>> len(hashed_user("u:7"))
    32
    """
    return hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def random_epoch() -> bytes:
    """Return 8 random bytes.

    >>> len(random_epoch())
    8
    """
    return secrets.token_bytes(8)
