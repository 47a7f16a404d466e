"""Train RecTools' SASRec on sequences and write the lists it answers histories with.

    python train.py --sequences train.txt --histories asked.txt --out lists.jsonl

Both inputs have a line per user: a name, then items, oldest first. The output has a line per line
of `histories`, in their order: {"items": [...], "scores": [...]}, best first, nothing of the
history. Items that training never saw are not recommended. It runs in an environment of its own
(`requirements.lock`): RecTools needs numpy below 2.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.transformers.lightning import TransformerLightningModule

SESSION = 20
"""Newest items read of a history: 95 % of the users of the usual sets have fewer."""


class PackedSoftmax(TransformerLightningModule):
    """RecTools' full softmax loss over the real positions only: the same, in a third of the time.

    Its own computes the scores of all items for the padding too, and then leaves them out.
    """

    def _calc_custom_loss(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:  # noqa: ARG002
        items = self.torch_model.item_model.get_all_embeddings()
        states = self.torch_model.encode_sessions(batch, items)
        real = batch["y"] != 0
        return torch.nn.functional.cross_entropy(states[real] @ items.T, batch["y"][real])


def main() -> None:
    """Read, train, answer, write."""
    options = _options()
    torch.set_num_threads(options.threads)
    seed_everything(options.seed, verbose=False)
    sequences, histories = _read(options.sequences), _read(options.histories)
    known = {item for items in sequences for item in items}
    dataset = Dataset.construct(_frame(sequences, known))
    model = _model(options)
    start = time.perf_counter()
    model.fit(dataset)
    print(f"trained: {time.perf_counter() - start:.0f} s", flush=True)
    with options.out.open("w", encoding="utf-8") as out:
        for answer in _answers(model, histories, known, options.k):
            out.write(json.dumps(answer) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--histories", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--max-seconds", type=int, default=780, help="training stops after this")
    # Two threads that share their cores with other work spend most of their time waiting.
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _read(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split()[1:] for line in lines if line.strip()]


def _frame(sequences: list[list[str]], known: set[str]) -> pd.DataFrame:
    """Return an interaction per known item; the day is its place, which only keeps the order."""
    rows = [
        (user, item, place)
        for user, items in enumerate(sequences)
        for place, item in enumerate(items)
        if item in known
    ]
    frame = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, "place"])
    frame[Columns.EventRule] = 1.0
    frame[Columns.Datetime] = pd.Timestamp("2000-01-01") + pd.to_timedelta(frame["place"], unit="D")
    return frame.drop(columns="place")


def _model(options: argparse.Namespace) -> SASRecModel:
    def trainer() -> Trainer:
        return Trainer(
            max_epochs=options.epochs,
            max_time={"seconds": options.max_seconds},
            accelerator="cpu",
            enable_checkpointing=False,
            enable_model_summary=False,
            logger=False,
            enable_progress_bar=sys.stderr.isatty(),
            deterministic=True,
        )

    return SASRecModel(
        n_blocks=2,
        n_heads=1,
        n_factors=options.factors,
        dropout_rate=0.2,
        session_max_len=SESSION,
        loss="packed_softmax",  # a name that RecTools leaves to the module below
        lr=1e-3,
        batch_size=128,
        epochs=options.epochs,
        get_trainer_func=trainer,
        lightning_module_type=PackedSoftmax,
    )


def _answers(
    model: SASRecModel, histories: list[list[str]], known: set[str], k: int
) -> list[dict[str, list]]:
    """Ask for all histories at once; a history without a known item gets an empty list."""
    answers: list[dict[str, list]] = [{"items": [], "scores": []} for _ in histories]
    asked = _frame(histories, known)
    if asked.empty:
        return answers
    found = model.recommend(
        users=np.unique(asked[Columns.User]),
        dataset=Dataset.construct(asked),
        k=min(k, len(known)),
        filter_viewed=True,
    )
    for row in found.itertuples(index=False):
        answer = answers[int(getattr(row, Columns.User))]
        answer["items"].append(str(getattr(row, Columns.Item)))
        answer["scores"].append(float(getattr(row, Columns.Score)))
    return answers


if __name__ == "__main__":
    main()
