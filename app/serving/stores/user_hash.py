"""The name of a user inside a store: a hash, so that a deleted user leaves no id behind."""

import hashlib


def hashed_user(user: str) -> str:
    """Return the 32 hexadecimal digits under which a store keeps a user.

    >>> len(hashed_user("u:7"))
    32
    """
    return hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
