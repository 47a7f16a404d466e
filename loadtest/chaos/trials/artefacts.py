"""Trials of bundles that were damaged, forged or cut off, and of builders that were killed."""

import os
import pickle
import shutil
import threading
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import Final

import faiss
import numpy as np

from app.bundle.encoder_info import INFO_FILE
from app.engine.retrieval.index import INDEX_FILE
from loadtest.chaos import catalogue
from loadtest.chaos.asking import Caller
from loadtest.chaos.generations import (
    Change,
    Generations,
    with_field,
    with_number,
    with_tensor,
)
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial
from loadtest.runners.services import Service

_ENCODER: Final = f"encoder/{INFO_FILE}"
_WORDS: Final = "words.safetensors"
_SECOND_LINE: Final = ("died", "the process that", "the bundle cannot be loaded")
_LISTS: Final = 4
_HEADER: Final = 120
"""Bytes at the start of an index file: lengths, numbers of vectors and of lists."""


class _Served:
    """A service over generations of its own, and a caller."""

    def __init__(self, rig: Rig, *under: str) -> None:
        self.generations = Generations(rig.folder, rig.bundle)
        # Nothing is watched: each generation is tried once, when the trial asks.
        flags = ("--watch-bundle-ms", "0")
        self.service: Service = rig.serve(*flags, bundle=self.generations.root, under=under)
        self.pid = self.service.pid
        self.caller = rig.caller(self.service)

    def refusal(self) -> str:
        """Ask for a reload; return why it is refused, "" if it is not, "died" if nobody answers."""
        try:
            answer = self.caller.call("POST", "/admin/reload")
        except (OSError, HTTPException):
            return "died"
        return str(answer.body["error"]["message"]) if answer.status == 409 else ""

    def goes_on(self) -> bool:
        """Tell whether the first generation answers, in the process that began."""
        try:
            answer = self.caller.recommend(query="a red chair", k=3)
        except (OSError, HTTPException):
            return False
        good = answer.status == 200 and len(answer.body["items"]) == 3
        return good and answer.body["generation"]["bundle"] == self.generations.first


def damaged(rig: Rig) -> Measured:
    """Damage each file of a new generation in several ways, and reload."""
    served = _Served(rig)
    generations = served.generations
    files = [name for name in generations.files(generations.first) if _size(generations, name)]
    if rig.short:
        files = rig.rng.sample(files, 4)
    harms = [_cut_off(name) for name in files] + [_flipped(name, rig) for name in files]
    harms += [_missing(name) for name in files]
    harms += [_exchanged(*rig.rng.sample(files, 2)), _added("extra.npy")]
    refusals = []
    for harm in harms:
        generations.add(harm)
        refusals.append(served.refusal())
    counted = served.service.metric("recserve_reloads_total")
    good = sum(bool(why) and why != "died" for why in refusals)
    return Measured(
        good == len(harms) == counted and served.goes_on(),
        f"{len(harms)} damaged generations ({len(files)} files cut off, a bit turned, removed; "
        f"two exchanged; one added): {good} refused, {counted:.0f} counted, the old one answers",
    )


def _size(generations: Generations, name: str) -> int:
    return (generations.root / generations.first / name).stat().st_size


def _cut_off(name: str) -> Change:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def _flipped(name: str, rig: Rig) -> Change:
    def changed(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[rig.rng.randrange(len(content))] ^= 1 << rig.rng.randrange(8)
        (folder / name).write_bytes(content)

    return changed


def _missing(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def _exchanged(one: str, other: str) -> Change:
    def changed(folder: Path) -> None:
        shutil.move(folder / one, folder / "aside")
        shutil.move(folder / other, folder / one)
        shutil.move(folder / "aside", folder / other)

    return changed


def _added(name: str) -> Change:
    def changed(folder: Path) -> None:
        (folder / name).write_bytes(b"")

    return changed


def inconsistent(rig: Rig) -> Measured:
    """Reload generations whose checksums are right, and whose numbers point outside."""
    changes: list[Change] = [
        with_field(_ENCODER, heads=0),
        with_number(_WORDS, "posting/rows", 5, 2_000_000_000),
        with_number(_WORDS, "posting/offsets", 3, -4096),
        with_number(_WORDS, "title/words", 7, 1 << 30),
        with_number(_WORDS, "trigram/words", 7, -5),
        with_tensor("signals.safetensors", "popularity", lambda a: a[:-1]),
        with_tensor("signals.safetensors", "freshness", lambda a: a.astype(np.float16)),
        with_number("users.safetensors", "history/items", 2, -1),
        with_field(_ENCODER, id="another encoder"),
        with_field(_ENCODER, dim=192),
        with_field(_ENCODER, layers=1 << 20),
    ]
    facts = [{"encoder": {"dim": 192}}, {"n_items": catalogue.N_ITEMS + 1}]
    if rig.short:
        changes = [*changes[:3], *rig.rng.sample(changes[3:], 2)]
        facts = rig.rng.sample(facts, 1)
    served = _Served(rig)
    refusals = []
    for change in changes:
        served.generations.add(change, before_sealing=True)
        refusals.append(served.refusal())
    for wrong in facts:
        served.generations.add(lambda _: None, **wrong)
        refusals.append(served.refusal())
    # A process that dies, or fails in the middle, is the second line: here the first is looked at.
    by_checks = sum(not any(sign in why for sign in _SECOND_LINE) for why in refusals if why)
    return Measured(
        by_checks == len(refusals) and served.goes_on(),
        f"{len(refusals)} sealed but wrong generations: {by_checks} refused by a check before "
        "anything native read them, the old one answers",
    )


def crashing(rig: Rig) -> Measured:
    """Reload a generation whose parser crashes."""
    served = _Served(rig, "crashing_library")
    served.generations.add(lambda _: None, recipe={"crash": True})
    why = served.refusal()
    going_on = served.goes_on()
    return Measured(
        why.endswith("was ended by SIGSEGV") and going_on,
        f"the reload: {why or 'not refused'}; the service {'goes on' if going_on else 'is gone'}",
    )


def index_headers(rig: Rig) -> Measured:
    """Reload generations with an index whose header was changed at random."""
    served = _Served(rig)
    vectors = np.load(served.generations.root / served.generations.first / "vectors.npy")
    index = faiss.index_factory(
        vectors.shape[1], f"IVF{_LISTS},PQ48x4fs", faiss.METRIC_INNER_PRODUCT
    )
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(rig.folder / INDEX_FILE))
    right = (rig.folder / INDEX_FILE).read_bytes()
    before, refusals, others = served.service.rss_mib(), 0, 0
    kinds = {"kind": "lists", "probes": _LISTS, "recall": 1.0}
    for _ in range(3 if rig.short else 40):
        content = bytearray(right)
        at = rig.rng.randrange(4, _HEADER)
        content[at : at + 8] = rig.rng.choice(
            [b"\xff" * 8, (1 << 50).to_bytes(8, "little"), rig.rng.randbytes(8)]
        )

        def put(folder: Path, content: bytes = bytes(content)) -> None:
            (folder / INDEX_FILE).write_bytes(content)

        served.generations.add(put, before_sealing=True, index=kinds)
        why = served.refusal()
        refusals += bool(why) and why != "died"
        others += not why
    alive = (
        served.service.pid == served.pid and served.caller.recommend(query="a rug").status == 200
    )
    grown = served.service.rss_mib() - before
    return Measured(
        alive and (rig.short or grown < 200),
        f"{refusals} changed index files refused, {others} taken as their change meant nothing; "
        f"the process lives, {grown:.0f} MiB more",
    )


class _Opener:
    """Pickles into a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def pickles(rig: Rig) -> Measured:
    """Put pickles in the place of models, sealed, and look for what they would do."""
    served = _Served(rig)
    names = [_WORDS, "items.safetensors", "vectors.npy", "encoder/encoder.safetensors"]
    names += ["encoder/kernel.safetensors", "encoder/tokenizer.json", _ENCODER]
    names = rig.rng.sample(names, 3) if rig.short else names
    made, refusals = rig.folder / "made-by-a-pickle", 0
    for name in names:

        def put(folder: Path, name: str = name) -> None:
            (folder / name).write_bytes(pickle.dumps(_Opener(made)))

        served.generations.add(put, before_sealing=True)
        why = served.refusal()
        refusals += bool(why) and why != "died"
    grep = rig.pytest("tests/test_architecture.py", "-k", "unsafe_loading")
    return Measured(
        refusals == len(names) and not made.exists() and grep.passed and served.goes_on(),
        f"{len(names)} pickles named as models: {refusals} refused, "
        f"{'a' if made.exists() else 'no'} side effect; search of the code: {grep.figure}",
    )


def cut_off_in_place(rig: Rig) -> Measured:
    """Cut off each file of the generation that serves, while requests go on."""
    served = _Served(rig)
    folder = served.generations.root / served.generations.first
    over, statuses = threading.Event(), Counter[int]()

    def ask() -> None:
        caller = Caller(served.service.port)
        for number, query in enumerate(catalogue.queries(100_000)):
            if over.is_set():
                break
            user = catalogue.user_id(number % catalogue.N_USERS)
            try:
                statuses[caller.recommend(query=query, user_id=user).status] += 1
            except (OSError, HTTPException):
                statuses[0] += 1
                break
        caller.close()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    files = served.generations.files(served.generations.first)
    for name in files:
        os.truncate(folder / name, 0)
    done = sum(statuses.values())
    while asking.is_alive() and sum(statuses.values()) < done + (50 if rig.short else 1000):
        asking.join(0.02)
    over.set()
    asking.join()
    largest, other = max(_sizes(rig.bundle / "current")), sum(statuses.values()) - statuses[200]
    return Measured(
        statuses.keys() == {200} and served.goes_on(),
        f"{len(files)} files cut off to nothing, the largest of {largest / 2**20:.0f} MiB: "
        f"{statuses[200]} requests answered meanwhile and after, {other} not",
    )


def _sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def killed_builder(rig: Rig) -> Measured:
    """Kill builders at each of their steps on the file system."""
    return rig.pytest("tests/failure/test_build_killed.py")


TRIALS: Final = (
    Trial(
        name="artefacts.damaged",
        requirements=(28,),
        promise="a damaged bundle is refused before anything parses it, and the old one serves",
        pass_line="each file cut off, with a bit turned, removed, exchanged, added: all refused "
        "with 409 and counted, and the old generation answers",
        run=damaged,
        faults=("unchecked_checksum",),
        short=True,
    ),
    Trial(
        name="artefacts.inconsistent",
        requirements=(28, 29),
        promise="a bundle whose checksums are right and whose arrays are not is refused",
        pass_line="no heads, rows and offsets outside, another type, length, encoder or dimension: "
        "all refused by a check, not by a crash",
        run=inconsistent,
        faults=("unbounded_arrays",),
        short=True,
    ),
    Trial(
        name="artefacts.crashing",
        requirements=(29,),
        promise="a bundle that crashes a library crashes a child process and not the service",
        pass_line="the child dies by SIGSEGV: 409 that says so, the same process answers",
        run=crashing,
        faults=("opened_in_the_service",),
        short=True,
    ),
    Trial(
        name="artefacts.index_headers",
        requirements=(29,),
        promise="no header of an index file ends the service or takes its memory",
        pass_line="40 files with a changed header: the process lives, less than 200 MiB more",
        run=index_headers,
    ),
    Trial(
        name="artefacts.pickles",
        requirements=(30,),
        promise="no pickle is ever read",
        pass_line="pickles in the place of models: all refused, no side effect; the code has no "
        "call that reads one",
        run=pickles,
    ),
    Trial(
        name="artefacts.cut_off_in_place",
        requirements=(28, 31),
        promise="files of the bundle that serves may be cut off in place",
        pass_line="all files cut off to nothing under load: every request answered with 200",
        run=cut_off_in_place,
        faults=("mapped_files",),
        short=True,
    ),
    Trial(
        name="artefacts.killed_builder",
        requirements=(27,),
        promise="a builder that is killed at any step harms no reader",
        pass_line="killed at each step on the file system: the old bundle or the new one, whole",
        run=killed_builder,
        faults=("leftovers_stay",),
    ),
)
