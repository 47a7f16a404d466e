"""The command line, `recserve COMMAND`: arguments, settings and exit codes of all commands.

The exit code is 0 when the command is done, 1 when it failed, 2 for wrong usage and 3 for bad data.
Each command imports what it needs when it runs, so that `recserve --help` is quick.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource

from app import __version__
from app.core.errors import AppError, BadDataError, UsageError
from app.core.own_package import missing_package
from app.core.settings import Settings

if TYPE_CHECKING:
    from app.offline.input.recipe import Recipe

_FORMATS = "CSV and its like, JSON Lines, JSON or Parquet"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    # torch and FAISS read this when they load: threads that wait for each other sleep. Spinning
    # threads take the cores from those they wait for (four times slower on a busy machine).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return 130
    except (AppError, OSError, ValidationError, ModuleNotFoundError) as error:
        print(f"recserve: {_said(error)}", file=sys.stderr)
        return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


_EXIT_CODES = ((UsageError, 2), (ValidationError, 2), (BadDataError, 3))
"""Of errors; all others are 1."""


def _said(error: Exception) -> str:
    """Return one line for an error that a user can do something about; raise a mistake of ours."""
    if isinstance(error, ValidationError):
        wrong = error.errors(include_url=False)[0]
        return f"setting {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "app").partition(".")[0] == "app":
            raise error
        return missing_package(error.name)
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("recserve", description="Recommendations in milliseconds.")
    parser.add_argument("--version", action="version", version=f"recserve {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="build a bundle from item and event files")
    build.add_argument("--items", type=Path, help=f"item file: {_FORMATS}")
    build.add_argument("--events", type=Path, help=f"event file: {_FORMATS}")
    build.add_argument("--users", type=Path, help=f"file of user attributes: {_FORMATS}")
    _add_judgements(build)
    build.add_argument(
        "--recipe",
        type=Path,
        help="recipe (TOML: column names, weights, text), or a preset: news, shop, social, video",
    )
    build.add_argument("--out", type=Path, required=True, help="bundle folder, models/NAME")
    build.add_argument("--no-learn", action="store_true", help="do not train; `train` can do it")
    _add_force(build)
    build.set_defaults(run=_build)

    train = commands.add_parser("train", help="train an existing bundle again, from events")
    train.add_argument("--bundle", type=Path, required=True, help="bundle folder, models/NAME")
    train.add_argument("--events", type=Path, help=f"event file: {_FORMATS}")
    _add_judgements(train)
    collected = "train from the events of the store, and from --events if given"
    train.add_argument("--events-from-store", action="store_true", help=collected)
    for name in _STORE_SETTINGS:
        text = f"{Settings.model_fields[name].description} [env: RECSERVE_{name.upper()}]"
        train.add_argument(f"--{name.replace('_', '-')}", help=text)
    train.add_argument("--recipe", type=Path, help="recipe (TOML); default: that of the bundle")
    _add_force(train)
    train.set_defaults(run=_train)

    _add_enrich(commands.add_parser("enrich", help="let a language model add columns to items"))

    published = commands.add_parser("publish", help="serve an existing generation")
    published.add_argument("--bundle", type=Path, required=True, help="bundle folder, models/NAME")
    published.add_argument("generation", help="name of its folder in the bundle folder")
    published.set_defaults(run=_publish)

    back = commands.add_parser("rollback", help="serve the newest older generation again")
    back.add_argument("--bundle", type=Path, required=True, help="bundle folder, models/NAME")
    back.set_defaults(run=_roll_back)

    serve = commands.add_parser("serve", help="serve a bundle over HTTP", epilog=_PRECEDENCE)
    _add_settings(serve)
    serve.set_defaults(run=_serve)

    demo = commands.add_parser(
        "demo",
        help="serve the MovieLens demo; build it if needed, and train it while it is served",
        epilog=_PRECEDENCE,
    )
    until = demo.add_mutually_exclusive_group()
    until.add_argument("--wait", action="store_true", help="serve it only once it is trained")
    until.add_argument("--build-only", action="store_true", help="build and train it, then stop")
    _add_settings(demo)
    demo.set_defaults(run=_demo)

    _add_store_commands(commands)

    evaluate = commands.add_parser("evaluate", help="measure the engine on held-out data")
    _add_evaluate(evaluate)

    bench = commands.add_parser("bench", help="measure requests on this machine")
    _add_bench(bench)
    return parser


def _add_store_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compact = commands.add_parser("compact", help="drop old events and rewrite the event store")
    _add_settings(compact)
    compact.set_defaults(run=_compact)

    what = ["events", "users"]
    export = commands.add_parser("export", help="write events, or attributes of users, to a file")
    export.add_argument("what", choices=what)
    export.add_argument("--out", type=Path, default=Path("-"), help="FILE.jsonl (default: -)")
    _add_settings(export)
    export.set_defaults(run=_export)

    importing = commands.add_parser("import", help="add a file of events or users to the store")
    importing.add_argument("what", choices=what)
    importing.add_argument("file", type=Path, help=_FORMATS)
    importing.add_argument("--recipe", type=Path, help="recipe (TOML): names of the columns")
    _add_settings(importing)
    importing.set_defaults(run=_import)


_STORE_SETTINGS = ("data_dir", "store_url", "store_namespace")
_PRECEDENCE = "Flag > RECSERVE_… variable > TOML file (RECSERVE_CONFIG, recserve.toml) > default."


def _add_judgements(parser: argparse.ArgumentParser) -> None:
    text = f"file of queries, items and grades to learn from: {_FORMATS}"
    parser.add_argument("--judgements", type=Path, help=text)


def _add_force(parser: argparse.ArgumentParser) -> None:
    text = "publish the result even if it ranks worse than the bundle being served"
    parser.add_argument("--force", action="store_true", help=text)


def _add_enrich(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=Path, required=True, help=f"item file: {_FORMATS}")
    text = "file to write: .csv for CSV and its like, otherwise .jsonl"
    parser.add_argument("--out", type=Path, required=True, help=text)
    parser.add_argument("--recipe", type=Path, help="recipe (TOML): which column is the id")
    parser.add_argument("--batch", type=int, default=8, help="items in one call, 1 to 64 (8)")
    parser.add_argument("--dry-run", action="store_true", help="ask nothing; estimate tokens, time")
    for name in ("prompt", "answer"):
        text = f"price of a million {name} tokens, to show what it costs"
        parser.add_argument(f"--price-{name}", type=float, default=0.0, help=text)
    _add_settings(parser)
    parser.set_defaults(run=_enrich)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    from app.evaluation.command import add_arguments, run

    add_arguments(parser)
    parser.set_defaults(run=run)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    from app.bench.command import add_arguments, run

    add_arguments(parser)
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: run(arguments, _settings(arguments)))


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Offer every setting as a flag; without the flag, the other sources decide."""
    source: CliSettingsSource[argparse.ArgumentParser] = CliSettingsSource(
        Settings,
        root_parser=parser,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_show_env_vars=True,
    )
    parser.set_defaults(settings_source=source)


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings of a command whose parser was given to `_add_settings`."""
    source = arguments.settings_source
    return Settings(_cli_settings_source=source(parsed_args=arguments))


def _recipe(arguments: argparse.Namespace) -> "Recipe | None":
    """Return the recipe that `--recipe` names: a file, or a preset; None without the flag."""
    from app.offline.input.recipe import load_recipe
    from app.offline.presets import recipe_path

    return None if arguments.recipe is None else load_recipe(recipe_path(arguments.recipe))


def _build(arguments: argparse.Namespace) -> int:
    from app.evaluation.promotion_gate import PromotionGate
    from app.offline.build import build
    from app.offline.input.recipe import Recipe
    from app.offline.progress import logged_steps

    recipe = _recipe(arguments) or Recipe()
    with logged_steps():
        report = build(
            items=arguments.items,
            events=arguments.events,
            recipe=recipe,
            out=arguments.out,
            users=arguments.users,
            judgements=arguments.judgements,
            learning=not arguments.no_learn,
            gate=PromotionGate(force=arguments.force),
        )
    print(report)
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from app.evaluation.promotion_gate import PromotionGate
    from app.offline.build import retrain
    from app.offline.progress import logged_steps

    recipe = _recipe(arguments)
    gate = PromotionGate(force=arguments.force)
    if arguments.events_from_store:
        from app.commands import train_from_store

        given = {name: getattr(arguments, name) for name in _STORE_SETTINGS}
        given = {name: value for name, value in given.items() if value is not None}
        settings = Settings(bundle=arguments.bundle, **given)
        with logged_steps():
            report = train_from_store(
                settings,
                arguments.bundle,
                arguments.events,
                recipe,
                gate,
                judgements=arguments.judgements,
            )
    elif arguments.events is None:
        raise UsageError("no events to train from: give --events FILE or --events-from-store")
    else:
        with logged_steps():
            report = retrain(
                arguments.bundle,
                arguments.events,
                recipe,
                judgements=arguments.judgements,
                gate=gate,
            )
    print(report)
    return 0


def _enrich(arguments: argparse.Namespace) -> int:
    from app.commands import enrich, plan_enrichment
    from app.offline.enrichment.enrich import EnrichOptions, Prices
    from app.offline.enrichment.item_file import ItemFiles
    from app.offline.input.recipe import Recipe

    recipe = _recipe(arguments) or Recipe()
    files = ItemFiles(arguments.items, arguments.out, recipe.items.id, recipe.format.items)
    prices = Prices(arguments.price_prompt, arguments.price_answer)
    options = EnrichOptions(arguments.batch, prices)
    if arguments.dry_run:
        print(plan_enrichment(files, options))
        return 0

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    print(asyncio.run(enrich(_settings(arguments), files, options, say)))
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    from app.bundle.generations import publish

    print(publish(arguments.bundle, arguments.generation))
    return 0


def _roll_back(arguments: argparse.Namespace) -> int:
    from app.bundle.generations import roll_back

    print(roll_back(arguments.bundle))
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from app.demo import run_demo

    settings = _settings(arguments)
    return run_demo(settings, wait=arguments.wait, build_only=arguments.build_only)


def _compact(arguments: argparse.Namespace) -> int:
    from app.commands import compact

    print(asyncio.run(compact(_settings(arguments))))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from app.commands import export_events, export_users

    export = export_users if arguments.what == "users" else export_events
    # Not on standard output, where the rows may go.
    print(asyncio.run(export(_settings(arguments), arguments.out)), file=sys.stderr)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from app.commands import import_events, import_users
    from app.offline.input.recipe import Recipe

    recipe = _recipe(arguments) or Recipe()
    add = import_users if arguments.what == "users" else import_events
    print(asyncio.run(add(_settings(arguments), arguments.file, recipe)))
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from app.server_process import run

    return run(_settings(arguments))


if __name__ == "__main__":
    sys.exit(main())
