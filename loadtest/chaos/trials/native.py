"""Trials of our own C: whose library is loaded, and what it does with memory."""

from typing import Final

from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial


def library(rig: Rig) -> Measured:
    """Plant, cut off and change libraries, and the compiler."""
    return rig.pytest("tests/unit/engine/kernels/test_kernel_loader.py")


def sanitizers(rig: Rig) -> Measured:
    """Run the tests of the kernels on a build that the sanitizers watch."""
    tests = "tests/failure/test_sanitized_kernels.py"
    return rig.pytest(tests, "-k", "no_kernel") if rig.fault else rig.pytest(tests)


TRIALS: Final = (
    Trial(
        name="native.library",
        requirements=(29,),
        promise="compiled code is loaded only whole, and from folders that nobody else can change",
        pass_line="planted by another user, in a folder open to all, cut off, changed: never "
        "loaded; no program of the caller's PATH is run",
        run=library,
        faults=("any_library",),
    ),
    Trial(
        name="native.sanitizers",
        requirements=(29,),
        promise="the kernels touch no memory but their own, and do nothing that C leaves open",
        pass_line="their random and edge inputs under the address and the undefined behaviour "
        "sanitizer: no finding; two small mistakes are found",
        run=sanitizers,
        faults=("kernel_reads_beyond",),
    ),
)
