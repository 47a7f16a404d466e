"""The recipes that come with recserve: that of the demo, and presets for five domains.

They are in `models/` of a checkout. A wheel has a copy of them inside the package.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from app.core.errors import UsageError

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_INSTALLED: Final = _PACKAGE / "recipes"
FOLDER: Final = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "models"

DEMO: Final = FOLDER / "demo.toml"
PRESETS: Final[Mapping[str, Path]] = {
    path.stem: path for path in sorted((FOLDER / "presets").glob("*.toml"))
}
"""name -> recipe, such as "shop"."""

SCENARIOS: Final[Mapping[str, Path]] = {
    path.stem: path for path in sorted((FOLDER / "presets" / "scenarios").glob("*.json"))
}
"""The same names -> a body of `PUT /admin/scenarios`: scenarios that such a place has."""


def recipe_path(named: Path) -> Path:
    """Return the file that `--recipe` names: a file, or else the preset of that name.

    `models/presets/shop.toml` and `shop` both name the preset where there is no such file.

    Raises:
        UsageError: it is a bare name, and neither.
    """
    if named.is_file():
        return named
    folders = (Path(), Path("models") / "presets", Path("presets"))
    if named.suffix in {"", ".toml"} and named.parent in folders and named.stem in PRESETS:
        return PRESETS[named.stem]
    if not named.suffix and named.parent == Path() and not named.exists():
        presets = ", ".join(PRESETS)
        raise UsageError(f"there is neither a file nor a preset {named}; presets: {presets}")
    return named
