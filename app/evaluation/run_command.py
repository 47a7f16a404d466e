"""Runs one `recserve evaluate`: from flags to a plan, and from the result to JSON and a report.

Wrong flags raise `UsageError`, and files that cannot be used raise `BadDataError`; the caller turns
them into exit codes. This module does not know how anything is measured.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson

from app.bundle.reader import Bundle, load_arrays, open_bundle
from app.core.errors import UsageError
from app.domain.columns import decode_column
from app.evaluation.ablation import ablate, table_of
from app.evaluation.baselines import registry
from app.evaluation.dataset_readers import (
    kind_of,
    read_files,
    read_impressions,
    read_pairs,
    read_sequences,
)
from app.evaluation.eval_catalogue import EvalCatalogue
from app.evaluation.evaluate import (
    Document,
    OpenEngine,
    Options,
    evaluate,
    open_served,
    open_without_words,
)
from app.evaluation.fairness.groups import GROUPABLE
from app.evaluation.names import ProtocolName
from app.evaluation.newcomers import measure_newcomers, newcomer_lines, plan_of_newcomers
from app.evaluation.protocols import (
    EvalPlan,
    plan_of_events,
    plan_of_grades,
    plan_of_impressions,
    sampled,
)
from app.evaluation.ratings import measure_ratings, plan_of_ratings, rating_lines
from app.evaluation.report import render, summary_lines
from app.evaluation.search_cases import plan_of_search
from app.evaluation.word_ablation import ablate_words, word_table
from app.offline.build import MakeEncoder, packed_encoder
from app.offline.input.events import Events, read_events
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import Recipe, load_recipe
from app.offline.input.users import Users, read_users
from app.offline.presets import DEMO, recipe_path

_DEFAULTS: dict[str, tuple[ProtocolName, ...]] = {
    "sequences": ("strict", "all-but-last", "search", "newcomers"),
    "pairs": ("graded",),
    "impressions": ("mind",),
}
"""The protocols of each kind of folder, the default first."""

_ALONE: Final[tuple[ProtocolName, ...]] = ("newcomers", "ratings")
"""Protocols with figures of their own."""

_WITH_HISTORIES: Final[tuple[ProtocolName, ...]] = ("strict", "all-but-last", "time-split")


def run_evaluation(
    args: argparse.Namespace,
    make_encoder: MakeEncoder = packed_encoder,
    opener: OpenEngine = open_served,
) -> int:
    """Evaluate, write the outputs that the flags name, and return the exit code 0.

    Args:
        args: the flags of `command.add_arguments`.
        make_encoder: how encoders are made; tests pass a fake.
        opener: how bundles are opened; tests pass a fake.

    Raises:
        UsageError: flags that do not go together, an unknown name.
        BadDataError: files that cannot be used.
        EngineError, BundleError, OSError: as they are.
    """
    # First, because a typing mistake must not cost minutes of work.
    baselines = registry.parse_names(args.baselines)
    _check_data(args)
    _check_outputs(args)
    _check_fairness(args)
    _check_ablation(args)
    recipe = _recipe(args)
    with tempfile.TemporaryDirectory(prefix="recserve-demo-") as work:
        plan, name = plan_of(args, recipe, Path(work))
        if args.fairness:
            _check_groups(plan, args.exposure_field)
        if args.users is not None:
            plan = sampled(plan, args.users, args.seed)
        options = Options(
            recipe=recipe,
            seed=args.seed,
            baselines=baselines,
            bundle=args.bundle,
            users=args.attributes,
            fairness=args.fairness,
            exposure_field=args.exposure_field,
            make_encoder=make_encoder,
            open_engine=opener,
            open_blend=open_without_words if opener is open_served else None,
        )
        document: Document = {"command": shlex.join(["recserve", *sys.argv[1:]])}
        measure, lines_of = (ablate, table_of) if args.ablation else (evaluate, summary_lines)
        if args.ablation and plan.protocol == "search":
            measure, lines_of = ablate_words, word_table
        elif plan.protocol == "newcomers":
            measure, lines_of = measure_newcomers, newcomer_lines
        elif plan.protocol == "ratings":
            measure, lines_of = measure_ratings, rating_lines
        document |= measure(plan, name, options)
    _write(document, lines_of(document), args)
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    if args.demo:
        return load_recipe(DEMO)
    return Recipe() if args.recipe is None else load_recipe(recipe_path(args.recipe))


def _check_data(args: argparse.Namespace) -> None:
    """Refuse flags that name no data, or more than one."""
    inputs = [name for name in ("dataset", "items", "bundle", "demo") if getattr(args, name)]
    if len(inputs) != 1:
        raise UsageError(
            "evaluate needs one of --dataset DIR, --items FILE, --bundle DIR or --demo"
        )
    if args.events is not None and (args.dataset is not None or args.demo):
        raise UsageError(f"--{inputs[0]} brings its own events: leave --events out")
    if args.events is None and args.dataset is None and not args.demo:
        raise UsageError(f"--{inputs[0]} needs --events FILE: there is nothing to evaluate on")
    if args.demo and args.recipe is not None:
        raise UsageError("--demo brings its own recipe: leave --recipe out")


def plan_of(args: argparse.Namespace, recipe: Recipe, work: Path) -> tuple[EvalPlan, str]:
    """Return the plan that the flags ask for, and the name of the data.

    Args:
        args: flags that name one kind of data.
        recipe: how the data is read.
        work: an empty folder for the demo's files, which must stay until the plan is used.

    Raises:
        UsageError, BadDataError: as `run_evaluation`.
    """
    if args.dataset is not None:
        return _plan_of_folder(args), args.dataset.resolve().name
    if args.bundle is not None:
        return _plan_of_bundle(args, recipe), args.events.name
    if args.demo:
        # Here, not above: the data comes from a package that other evaluations do not need.
        from app.offline.demo import write_movielens  # noqa: PLC0415

        items, log, name = *write_movielens(work), "demo"
    else:
        items, log, name = args.items, args.events, args.events.name
    catalogue, events = read_files(items, log, recipe)
    _say(catalogue.report, events.report)
    protocol: ProtocolName = args.protocol or ("all-but-last" if args.demo else "time-split")
    return _plan_of_log(protocol, catalogue, events, recipe, args), name


def _plan_of_log(
    protocol: ProtocolName,
    catalogue: EvalCatalogue,
    events: Events,
    recipe: Recipe,
    args: argparse.Namespace,
) -> EvalPlan:
    seed = args.seed
    if protocol == "search":
        return plan_of_search(catalogue=catalogue, events=events, weights=recipe.weights, seed=seed)
    if protocol == "newcomers":
        users = Users.none() if args.attributes is None else read_users(args.attributes, recipe)
        _say(users.report)
        return plan_of_newcomers(catalogue, events, recipe.weights, users=users, seed=seed)
    if protocol == "ratings":
        return plan_of_ratings(catalogue, events, recipe.weights)
    return plan_of_events(
        protocol=protocol, catalogue=catalogue, events=events, weights=recipe.weights
    )


def _plan_of_folder(args: argparse.Namespace) -> EvalPlan:
    kind = kind_of(args.dataset)
    allowed = _DEFAULTS[kind]
    protocol = args.protocol or allowed[0]
    if protocol not in allowed:
        raise UsageError(
            f"--protocol {protocol} does not go with {args.dataset.name}, which holds {kind}: "
            f"use {_listed(allowed)}"
        )
    if kind == "sequences":
        catalogue, events = read_sequences(args.dataset, args.seed)
        return _plan_of_log(protocol, catalogue, events, Recipe(), args)
    if kind == "pairs":
        catalogue, judged = read_pairs(args.dataset, args.seed)
        return plan_of_grades(catalogue, judged)
    catalogue, impressions = read_impressions(args.dataset, args.seed)
    return plan_of_impressions(catalogue, impressions)


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _plan_of_bundle(args: argparse.Namespace, recipe: Recipe) -> EvalPlan:
    """Return a plan that asks a finished bundle only about events after all that it has seen."""
    if args.protocol not in (None, "time-split"):
        raise UsageError("--bundle goes with --protocol time-split only: it was fitted already")
    bundle = open_bundle(args.bundle)
    split = bundle.manifest.trained_until
    if split is None:
        split = float("-inf")  # the bundle has seen no events
    events = read_events(args.events, recipe)
    _say(events.report)
    return plan_of_events(
        protocol="time-split",
        catalogue=catalogue_of(bundle),
        events=events,
        weights=recipe.weights,
        split=split,
    )


def _say(*reports: ReadReport | None) -> None:
    """Say how files were read, on standard error: standard output is for the result."""
    lines = [line for report in reports if report is not None for line in report.lines()]
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def catalogue_of(bundle: Bundle) -> EvalCatalogue:
    """Return the catalogue of a bundle."""
    columns = load_arrays(bundle, "items.safetensors")
    ids, titles = (
        decode_column(
            "string",
            {key.partition("/")[2]: a for key, a in columns.items() if key.startswith(f"{name}/")},
        )
        for name in ("id", "title")
    )
    rows = range(bundle.manifest.n_items)
    return EvalCatalogue(
        ids=[str(ids.value(row)) for row in rows],
        titles=[str(titles.value(row) or "") for row in rows],
        source=[],
        kinds={k: v for k, v in bundle.manifest.attributes.items() if k not in {"id", "title"}},
    )


def _check_ablation(args: argparse.Namespace) -> None:
    conflicts = args.bundle is not None or args.report is not None or args.baselines != "none"
    if args.ablation and conflicts:
        raise UsageError("--ablation goes without --bundle, --baselines and --report")
    if args.ablation and args.attributes is not None:
        raise UsageError("--ablation leaves out who the users are: leave --attributes out")
    if args.protocol in _ALONE and (conflicts or args.ablation):
        raise UsageError(
            f"--protocol {args.protocol} goes without --ablation, --bundle, --baselines and "
            "--report"
        )
    if args.attributes is not None and args.bundle is not None:
        raise UsageError("--bundle knows its users: leave --attributes out")


def _check_fairness(args: argparse.Namespace) -> None:
    if args.exposure_field and not args.fairness:
        raise UsageError("--exposure-field goes with --fairness")
    if args.fairness and args.ablation:
        raise UsageError("--fairness goes without --ablation: it measures the engine")


def _check_groups(plan: EvalPlan, field: str) -> None:
    """Refuse a plan without users, or a field whose values make no groups."""
    if plan.protocol not in _WITH_HISTORIES:
        raise UsageError(
            f"--fairness needs users with a history: it goes with --protocol "
            f"{_listed(_WITH_HISTORIES)}, not with {plan.protocol}"
        )
    usable = sorted(name for name, kind in plan.catalogue.kinds.items() if kind in GROUPABLE)
    if field and field not in usable:
        raise UsageError(
            f"--exposure-field: {field!r} makes no groups of items; the fields that do: "
            f"{', '.join(usable) or 'none'}"
        )


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse outputs that cannot be written, before the work and not after it."""
    if args.json is not None and args.json != "-":
        _check_folder("--json", Path(args.json))
    if args.report is not None:
        _check_folder("--report", args.report)


def _check_folder(flag: str, path: Path) -> None:
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"{flag}: {path.name!r} cannot be written there")


def _write(document: Document, lines: list[str], args: argparse.Namespace) -> None:
    encoded = orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
    if args.json == "-":
        sys.stdout.write(encoded.decode())
    else:
        if args.json is not None:
            Path(args.json).write_bytes(encoded)
        sys.stdout.write("\n".join(lines) + "\n")
    if args.report is not None:
        args.report.write_text(render(document), encoding="utf-8")
