"""Starts the command line, `recserve` or `python -m recserve`, once it is sure whose `app` runs.

All code is in the package `app`. Many projects have a package of that name. If another one comes
first on the path of Python, nothing of ours can run, so this module is apart from it.
"""

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> int:
    """Run one command and return its exit code; 1 if another `app` hides ours."""
    if (problem := foreign_app(Path(__file__).resolve().parent)) is not None:
        print(f"recserve: {problem}", file=sys.stderr)
        return 1
    from app.cli import main as run

    return run()


def foreign_app(folder: Path) -> str | None:
    """Return what is wrong if `import app` does not give the package in `folder`, else None."""
    ours, found = folder / "app", find_spec("app")
    if not _is_ours(ours) or found is None:
        return f"its package 'app' is missing in {folder}, or overwritten: install recserve again"
    place = next(iter(found.submodule_search_locations or ()), found.origin or "")
    if Path(place).resolve() == ours:
        return None
    return (
        f"another package 'app' ({place}) hides that of recserve ({ours}): "
        "remove it from PYTHONPATH, or install recserve in an environment of its own"
    )


def _is_ours(package: Path) -> bool:
    """Tell whether a package is that of recserve. Another distribution may overwrite its files."""
    try:
        return "recserve" in (package / "__init__.py").read_text("utf-8")
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(main())
