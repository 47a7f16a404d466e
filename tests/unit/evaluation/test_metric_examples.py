"""Every metric has a worked example; `tests/test_examples.py` checks that it is true."""

from app.offline.metrics import ranking


def test_every_metric_has_an_example():
    public = [f for n, f in vars(ranking).items() if callable(f) and not n.startswith("_")]
    mine = [f for f in public if getattr(f, "__module__", "") == ranking.__name__]
    assert len(mine) >= 12
    assert all(">>>" in (f.__doc__ or "") for f in mine)
