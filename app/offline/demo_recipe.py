"""Which bundles were built from the demo's data.

It is apart from `app.offline.demo`, which builds: a service that only serves the demo does not need
the packages that building takes.
"""

from app.bundle.manifest import Manifest
from app.offline.input.recipe import load_recipe
from app.offline.presets import DEMO


def is_demo(manifest: Manifest) -> bool:
    """Tell whether a bundle was built from items with the columns of the demo's."""
    return bool(manifest.recipe.get("items") == load_recipe(DEMO).shown()["items"])
