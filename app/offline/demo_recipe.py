"""The recipe of the demo, and which bundles were built from the demo's data.

It is apart from `app.offline.demo`, which builds: a service that only serves the demo does not need
the packages that building takes.
"""

from pathlib import Path

from app.bundle.manifest import Manifest
from app.offline.input.recipe import load_recipe

RECIPE = Path(__file__).resolve().parents[2] / "models" / "demo.toml"
"""In the repository; an installed package has none."""


def is_demo(manifest: Manifest) -> bool:
    """Tell whether a bundle was built from items with the columns of the demo's."""
    if not RECIPE.is_file():
        return False
    return bool(manifest.recipe.get("items") == load_recipe(RECIPE).shown()["items"])
