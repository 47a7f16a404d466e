"""The 44 requirements that the trials show, and those that are not met, each with the reason."""

from collections.abc import Mapping
from typing import Final

REQUIREMENTS: Final[Mapping[int, str]] = {
    1: "Admission is bounded; the excess gets 429 with `Retry-After` at once",
    2: "Each form of request counts by its cost, single or list, on all routes",
    3: "Goodput does not collapse under three times the load that saturates",
    4: "A deadline holds through all stages; expired work is dropped before it is encoded",
    5: "An input larger than a batch is shortened or refused, never queued for ever",
    6: "A poison item fails alone; the others of its batch succeed",
    7: "No zombie: a dead thread turns readiness off, and no request hangs",
    8: "A caller who leaves frees what was held for him",
    9: "Bulk and admin traffic cannot starve live traffic, nor one key another",
    10: "Our own retries are few: at most one, and under a tenth of the calls",
    11: "The event loop is never blocked for long",
    12: "A cache that is down, slow or wrong never turns an answer into an error",
    13: "Waits for the cache are short and explicit, with a circuit breaker",
    14: "If ranking or personalisation fails, the answer comes without it and says so",
    15: "Degradation is visible in body, header and metric, with its reason",
    16: "Identical requests at the same time cause one encoding; a lost leader harms nobody",
    17: "Cached answers do not expire together",
    18: "A cancellation never gives one caller the answer of another",
    19: "A cached value proves which request it answers",
    20: "Bytes in the cache are data only, with a checksum and a largest size",
    21: "Nothing crosses from one tenant to another",
    22: "Tokenizer and model are used by one thread, or under a lock",
    23: "A request gets the same answer alone and in a batch",
    24: "A search sees one generation of the index, whatever changes meanwhile",
    25: "Threads do not exceed the cores",
    26: "No fork after threads; workers start every time",
    27: "A bundle is published whole or not at all",
    28: "A bundle is verified before anything parses it, and swapped as one",
    29: "Index files are read within bounds, and first in a process of their own",
    30: "Weights are safetensors; no pickle is ever read",
    31: "A reload loses no request and no memory",
    32: "Ready means warm",
    33: "A full disk or a read-only file stops writes, with 507 or 503, and nothing else",
    34: "SIGTERM drains; a second signal forces",
    35: "`kill -9` loses no acknowledged event",
    36: "Liveness is not readiness; a cache that is down does not matter to either",
    37: "Slow senders cannot hold connections",
    38: "A body is limited while it streams, and costs linear time",
    39: "Every field is bounded; no input is answered with 5xx",
    40: "Keys and roles guard every route; errors tell no internals",
    41: "Memory, descriptors, threads and permits stay flat",
    42: "Every dictionary, queue and label set has a cap",
    43: "The pool of connections waits a short time and leaks nothing",
    44: "Failover of Redis: reads go on as misses, writes resume",
}

NOT_MET: Final[Mapping[int, str]] = {}
"""Requirements that have no trial, or are only partly met: why. Shown in docs/reliability.md."""
