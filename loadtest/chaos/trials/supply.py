"""Trials of what the service is made of: packages, their hashes and licences, rights."""

from pathlib import Path
from typing import Final

from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial


def packages(rig: Rig) -> Measured:
    """Run the tests of locks, licences, the tools and the containers."""
    tests = ("test_locks.py", "test_supply_tools.py", "test_containers.py")
    return rig.pytest(*(f"tests/{name}" for name in tests))


def no_torch(rig: Rig) -> Measured:
    """Answer a query, and look at the libraries that the process has mapped."""
    service = rig.serve()
    answer = rig.caller(service).recommend(query="red lamp", k=3)
    maps = Path(f"/proc/{service.pid}/maps").read_text()
    found = sorted(name for name in ("libtorch", "libcuda", "sklearn", "pandas") if name in maps)
    return Measured(
        answer.status == 200 and not found,
        f"answered {answer.status}; libraries of training in the process: {len(found)} "
        f"{' '.join(found)}".strip(),
    )


TRIALS: Final = (
    Trial(
        name="supply.packages",
        requirements=(30,),
        promise="every package is locked by version and hash, under a licence that is allowed; "
        "containers have few rights",
        pass_line="all tests of locks, licences, SBOM, audit, Dockerfile and compose file pass",
        run=packages,
        faults=("forbidden_licence",),
    ),
    Trial(
        name="supply.no_torch",
        requirements=(30,),
        promise="serving on CPU loads no library of training, such as torch, which reads pickles",
        pass_line="no such library is mapped into the process after an answer",
        run=no_torch,
        faults=("torch_while_serving",),
        short=True,
    ),
)
