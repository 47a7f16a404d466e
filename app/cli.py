"""The command line, `recserve COMMAND`; imports inside branches.

Exit codes: 0 done, 1 failed, 2 usage, 3 bad data.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from app import __version__
from app.core.errors import AppError, BadDataError, UsageError
from app.core.settings import Settings

_ALL_SETTINGS = tuple(Settings.model_fields)
_FORMATS = "JSON Lines (.jsonl), CSV (.csv) or Parquet (.parquet)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    # Read by torch and FAISS when they load: threads that wait for each other sleep. Spinning, they
    # take the cores from whoever they wait for (four times slower on a busy machine).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        return _fail(f"setting {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}", 2)
    except UsageError as error:
        return _fail(error, 2)
    except BadDataError as error:
        return _fail(error, 3)
    except (AppError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130


def _fail(error: Exception | str, code: int) -> int:
    print(f"recserve: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("recserve", description="Recommendations in milliseconds.")
    parser.add_argument("--version", action="version", version=f"recserve {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="build a bundle from item and event files")
    build.add_argument("--items", type=Path, help=f"item file: {_FORMATS}")
    build.add_argument("--events", type=Path, help=f"event file: {_FORMATS}")
    build.add_argument("--recipe", type=Path, help="recipe (TOML): column names, weights, text")
    build.add_argument("--out", type=Path, required=True, help="bundle folder, models/NAME")
    build.add_argument("--no-learn", action="store_true", help="leave learning to `train`")
    _add_force(build)
    build.set_defaults(run=_build)

    train = commands.add_parser("train", help="learn anew from events, for a bundle that is there")
    train.add_argument("--bundle", type=Path, required=True, help="bundle folder, models/NAME")
    train.add_argument("--events", type=Path, help=f"event file: {_FORMATS}")
    collected = "learn from what the service collected, and from --events if given"
    train.add_argument("--events-from-store", action="store_true", help=collected)
    _add_settings(train, ("data_dir", "store_url"))
    train.add_argument("--recipe", type=Path, help="recipe (TOML), if not the one built by")
    _add_force(train)
    train.set_defaults(run=_train)

    published = commands.add_parser("publish", help="let services take a generation that is there")
    published.add_argument("--bundle", type=Path, required=True, help="bundle folder, models/NAME")
    published.add_argument("generation", help="name of its folder in the bundle folder")
    published.set_defaults(run=_publish)

    back = commands.add_parser("rollback", help="let services go back to an older generation")
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

    evaluate = commands.add_parser("evaluate", help="measure the engine on what was held out")
    _add_evaluate(evaluate)

    bench = commands.add_parser("bench", help="measure what requests cost on this machine")
    _add_bench(bench)
    return parser


def _add_store_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compact = commands.add_parser("compact", help="drop old events, rewrite the event store")
    _add_settings(compact)
    compact.set_defaults(run=_compact)

    taken = commands.add_parser("export", help="write what the service collected to a file")
    taken.add_argument("what", choices=["events"])
    taken.add_argument("--out", type=Path, default=Path("-"), help="FILE.jsonl (default: -)")
    _add_settings(taken)
    taken.set_defaults(run=_export)

    given = commands.add_parser("import", help="add what is in a file to what was collected")
    given.add_argument("what", choices=["events"])
    given.add_argument("file", type=Path, help=_FORMATS)
    given.add_argument("--recipe", type=Path, help="recipe (TOML): names of the columns")
    _add_settings(given)
    given.set_defaults(run=_import)


_PRECEDENCE = "Flag > RECSERVE_… variable > TOML file (RECSERVE_CONFIG, recserve.toml) > default."


def _add_force(parser: argparse.ArgumentParser) -> None:
    worse = "publish even what ranks worse than the bundle being served"
    parser.add_argument("--force", action="store_true", help=worse)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    from app.evaluation.command import add_arguments, run

    add_arguments(parser)
    parser.set_defaults(run=run)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    from app.bench.command import add_arguments, run

    add_arguments(parser)
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: run(arguments, _settings(arguments)))


def _add_settings(parser: argparse.ArgumentParser, names: Iterable[str] = _ALL_SETTINGS) -> None:
    """Offer settings as flags; what is not given stays with environment, file or default."""
    group = parser.add_argument_group("settings")
    for name in names:
        field = Settings.model_fields[name]
        default = "unset" if field.default is None else field.default
        group.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"setting_{name}",
            default=argparse.SUPPRESS,
            metavar=name.rpartition("_")[2].upper(),
            help=f"{field.description} (default: {default}; RECSERVE_{name.upper()})".replace(
                "%", "%%"
            ),
        )


def _settings(arguments: argparse.Namespace) -> Settings:
    given = {
        name.removeprefix("setting_"): value
        for name, value in vars(arguments).items()
        if name.startswith("setting_")
    }
    return Settings(**given)


def _build(arguments: argparse.Namespace) -> int:
    from app.evaluation.promotion_gate import PromotionGate
    from app.offline.build import build
    from app.offline.input.recipe import Recipe, load_recipe
    from app.offline.progress import log_steps

    log_steps()
    recipe = Recipe() if arguments.recipe is None else load_recipe(arguments.recipe)
    gate, learning = PromotionGate(force=arguments.force), not arguments.no_learn
    files = arguments.items, arguments.events
    print(build(*files, recipe, arguments.out, learning=learning, gate=gate))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from app.evaluation.promotion_gate import PromotionGate
    from app.offline.build import retrain
    from app.offline.input.recipe import load_recipe
    from app.offline.progress import log_steps

    log_steps()
    recipe = None if arguments.recipe is None else load_recipe(arguments.recipe)
    gate = PromotionGate(force=arguments.force)
    if arguments.events_from_store:
        from app.commands import train_from_store

        settings = _settings(arguments)
        print(train_from_store(settings, arguments.bundle, arguments.events, recipe, gate))
    elif arguments.events is None:
        raise UsageError("nothing to learn from: give --events FILE or --events-from-store")
    else:
        print(retrain(arguments.bundle, arguments.events, recipe, gate=gate))
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
    from app.commands import export_events

    # Not on standard output, where the events may go.
    print(asyncio.run(export_events(_settings(arguments), arguments.out)), file=sys.stderr)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from app.commands import import_events
    from app.offline.input.recipe import Recipe, load_recipe

    recipe = Recipe() if arguments.recipe is None else load_recipe(arguments.recipe)
    print(asyncio.run(import_events(_settings(arguments), arguments.file, recipe)))
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from app.server_process import run

    return run(_settings(arguments))


if __name__ == "__main__":
    sys.exit(main())
