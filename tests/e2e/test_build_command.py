"""`recserve build` as a user meets it: exit codes, messages, and what stays in place on failure."""

import json
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import FILMS, recserve, serving, write_data

pytestmark = pytest.mark.e2e


def test_a_mostly_wrong_file_aborts_and_the_old_bundle_keeps_serving(
    bundle: Path, tmp_path: Path
) -> None:
    before = (bundle / "current").readlink()
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"id": "9", "title": "fine"}\n' + '{"id": ""}\n' * 2)

    with serving(bundle, tmp_path) as service:
        done = recserve("build", "--items", str(wrong), "--out", str(bundle))
        answer = service.recommend(query="crime", k=3)

    assert done.returncode == 3
    assert "line 2" in done.stderr
    assert (bundle / "current").readlink() == before
    assert answer.json()["generation"]["bundle"] == before.name


def test_a_recipe_maps_other_columns_and_csv_works(tmp_path: Path) -> None:
    rows = "\n".join(f'{n},"{title}",{genres}' for n, title, genres, _ in FILMS)
    (tmp_path / "films.csv").write_text(f"film,name,kind\n{rows}\n")
    (tmp_path / "r.toml").write_text(
        'text = "{name}. {kind}"\n[items]\nid = "film"\ntitle = "name"\ncategories = "kind"\n'
    )
    out = tmp_path / "models" / "csv"

    done = recserve(
        *("build", "--items", str(tmp_path / "films.csv")),
        *("--recipe", str(tmp_path / "r.toml"), "--out", str(out)),
    )

    assert done.returncode == 0, done.stderr
    with serving(out, tmp_path) as service:
        assert service.client.get("/items/3").json() == {
            "id": "3",
            "title": "I, Robot",
            "fields": {
                "categories": ["Action", "Sci-Fi"],
                "published_at": None,
                "text": None,
            },
        }


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("build", "--out", "x"), 2, "no items"),
        (("build", "--items", "absent.jsonl", "--out", "x"), 3, "absent.jsonl"),
        (("build",), 2, "--out"),
        (("frobnicate",), 2, "invalid choice"),
        (("serve", "--port", "x"), 2, "port"),
        (("serve", "--bundle", "absent"), 1, "no bundle"),
    ],
)
def test_mistakes_end_with_a_code_and_one_plain_line(
    arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = recserve(*arguments)

    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_bundle_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    items, events = write_data(tmp_path)
    out = tmp_path / "models" / "hurt"
    built = recserve("build", "--items", str(items), "--events", str(events), "--out", str(out))
    assert built.returncode == 0, built.stderr
    vectors = out / "current" / "vectors.npy"
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)

    done = recserve("serve", "--bundle", str(out))

    assert done.returncode == 1
    assert "vectors.npy" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_generation_can_be_served_by_name(bundle: Path, tmp_path: Path) -> None:
    generation = bundle / (bundle / "current").readlink()

    with serving(generation, tmp_path) as service:
        info = httpx.get(f"{service.url}/info").json()

    assert info["bundle"]["generation"] == generation.name
    assert json.loads((generation / "manifest.json").read_text())["n_items"] == info["items"]


def test_help_names_every_setting_with_unit_and_default() -> None:
    shown = " ".join(recserve("serve", "--help").stdout.split())

    assert "in ms. (default: 30) [env: RECSERVE_CACHE_TIMEOUT_MS]" in shown
    assert "in bytes. (default: 1048576) [env: RECSERVE_MAX_BODY_BYTES]" in shown
