"""All trials: each module here is a group, and has `TRIALS`."""

import importlib
import pkgutil

from loadtest.chaos.trial import Trial


def all_trials() -> tuple[Trial, ...]:
    """Return the trials of all groups, groups in alphabetical order.

    Raises:
        ValueError: a trial has the name of another, or not that of its group.
    """
    found: dict[str, Trial] = {}
    for module in pkgutil.iter_modules(__path__):
        for trial in importlib.import_module(f"{__name__}.{module.name}").TRIALS:
            if trial.name in found or trial.group != module.name:
                raise ValueError(f"{trial.name} in {module.name}: named twice, or not by its group")
            found[trial.name] = trial
    return tuple(found.values())
