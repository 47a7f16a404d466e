"""The command line, `recserve COMMAND`: what each command runs, prints and returns.

The exit code is 0 when the command is done, 1 when it failed, 2 for wrong usage and 3 for bad data.
The arguments are in `app.commands.arguments`. Each command imports what it needs when it runs, so
that `recserve --help` is quick.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import ValidationError

from app.commands.arguments import EXIT_CODES, CommandParser, make_parser, path_of, settings_of
from app.core.errors import AppError, BadDataError, UsageError
from app.core.logs import OncePerMinute
from app.core.own_package import missing_package
from app.core.setting_names import check_variables, nearest
from app.core.settings import Settings
from app.core.validation_words import words_for

if TYPE_CHECKING:
    from app.offline.build import BuildReport
    from app.offline.input.recipe import Recipe
    from app.serving.access.key_store import KeyStore

_CODES: Final = ((UsageError, 2), (ValidationError, 2), (BadDataError, 3))
"""Exit codes of errors; all others are 1."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser, arguments = make_parser(), argparse.Namespace()
    try:
        arguments = parser.parsed(argv)
        if arguments.command in _ABOUT:
            return _ABOUT[arguments.command](parser, arguments)
        for line in check_variables(os.environ):
            _say(line)
        # torch and FAISS read this when they load: threads that wait for each other sleep. Spinning
        # threads take the cores from those they wait for (four times slower on a busy machine).
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        _say_troubles_once()
        return _COMMANDS[arguments.command](arguments)
    except KeyboardInterrupt:
        return 130
    except (AppError, OSError, ValidationError, ModuleNotFoundError) as error:
        return _failed(error, as_json=getattr(arguments, "json", None) is True)


def _failed(error: Exception, *, as_json: bool) -> int:
    """Print one line for an error that a user can do something about; raise a mistake of ours."""
    message = str(error)
    if isinstance(error, ValidationError):
        message = _wrong_setting(error)
    elif isinstance(error, ModuleNotFoundError):
        if (error.name or "app").partition(".")[0] == "app":
            raise error
        message = missing_package(error.name)
    elif isinstance(error, OSError) and error.strerror is not None:
        # Without the number that Python puts before it.
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        message = f"{where}{error.strerror}"
    _say(message)
    if as_json:
        kind = error.code if isinstance(error, AppError) else "failed"
        _print_json({"error": {"code": kind, "message": message}})
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


def _wrong_setting(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    name = ".".join(map(str, wrong["loc"]))
    if wrong["type"] != "extra_forbidden":
        return f"setting {name}: {words_for(wrong)}"
    near = nearest(name, Settings.model_fields)
    return f"there is no setting {name}" + (f": did you mean {near}?" if near else "")


def _say(text: str) -> None:
    print(f"recserve: {text}", file=sys.stderr)


def _say_troubles_once() -> None:
    """Keep commands that do not set up the log from repeating a warning at each try."""
    last = logging.lastResort
    if last is not None and not any(isinstance(each, OncePerMinute) for each in last.filters):
        last.addFilter(OncePerMinute())


def _print_json(facts: Mapping[str, Any]) -> None:
    print(orjson.dumps(facts).decode())


def _help(parser: CommandParser, arguments: argparse.Namespace) -> int:
    if arguments.topic == "exit-codes":
        print(EXIT_CODES)
    else:
        (parser if arguments.topic is None else parser.of(arguments.topic)).print_help()
    return 0


def _complete(parser: CommandParser, arguments: argparse.Namespace) -> int:
    import shtab

    for command in parser.commands.values():
        for action in command._actions:  # noqa: SLF001 - there is no other way to list flags
            if action.type is path_of or action.metavar == "PATH":
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab looks for it
    print(shtab.complete(parser, arguments.shell))
    return 0


def _recipe(arguments: argparse.Namespace) -> "Recipe | None":
    """Return the recipe that `--recipe` names: a file, or a preset; None without the flag."""
    from app.offline.input.recipe import load_recipe
    from app.offline.presets import recipe_path

    return None if arguments.recipe is None else load_recipe(recipe_path(arguments.recipe))


def _inspect(arguments: argparse.Namespace) -> int:
    from app.offline.input.inspection import inspect, recipe_of
    from app.offline.input.recipe import Recipe

    if arguments.section is not None and len(arguments.files) > 1:
        raise UsageError("--as goes with one file")
    recipe = _recipe(arguments) or Recipe()
    found = [inspect(path, recipe, arguments.section) for path in arguments.files]
    text = recipe_of(found)
    if arguments.json:
        _print_json({"files": [each.facts() for each in found], "recipe": text})
    else:
        print(text, end="")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from app.evaluation.promotion_gate import PromotionGate
    from app.offline.build import build
    from app.offline.encoder.model_source import check_model
    from app.offline.input.recipe import Recipe
    from app.offline.progress import logged_steps

    recipe = _recipe(arguments) or Recipe()
    check_model(recipe.encoder)
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
    return _show_build(report, arguments)


def _train(arguments: argparse.Namespace) -> int:
    from app.evaluation.promotion_gate import PromotionGate
    from app.offline.build import retrain
    from app.offline.progress import logged_steps

    recipe = _recipe(arguments)
    gate = PromotionGate(force=arguments.force)
    if arguments.events_from_store:
        from app.commands.learning import train_from_store

        with logged_steps():
            report = train_from_store(
                settings_of(arguments),
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
    return _show_build(report, arguments)


def _show_build(report: "BuildReport", arguments: argparse.Namespace) -> int:
    from app.commands.results import facts_of_build

    if arguments.json:
        _print_json(facts_of_build(report))
    else:
        print(report)
    return 0


def _enrich(arguments: argparse.Namespace) -> int:
    from app.commands.learning import enrich, plan_enrichment
    from app.offline.enrichment.enrich import EnrichOptions, Prices
    from app.offline.enrichment.item_file import ItemFiles
    from app.offline.input.fitted_columns import fitted
    from app.offline.input.recipe import Recipe

    recipe = _recipe(arguments) or Recipe()
    names = fitted(arguments.items, recipe, "items")[0].items
    files = ItemFiles(arguments.items, arguments.out, names.id, recipe.format.items)
    prices = Prices(arguments.price_prompt, arguments.price_answer)
    options = EnrichOptions(arguments.batch, prices)
    if arguments.dry_run:
        print(plan_enrichment(files, options))
        return 0

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    print(asyncio.run(enrich(settings_of(arguments), files, options, say)))
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
    from app.commands.demo import run_demo

    settings = settings_of(arguments)
    return run_demo(settings, wait=arguments.wait, build_only=arguments.build_only)


def _compact(arguments: argparse.Namespace) -> int:
    from app.commands.stores import compact

    print(asyncio.run(compact(settings_of(arguments))))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from app.commands.stores import export_events, export_users

    if arguments.json and str(arguments.out) == "-":
        raise UsageError("--json needs --out FILE: otherwise the rows go to standard output")
    export = export_users if arguments.what == "users" else export_events
    done = asyncio.run(export(settings_of(arguments), arguments.out))
    if arguments.json:
        _print_json(done.facts())
    else:
        # Not on standard output, where the rows may go.
        print(done, file=sys.stderr)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from app.commands.importing import import_events, import_users
    from app.offline.input.recipe import Recipe

    recipe = _recipe(arguments) or Recipe()
    add = import_users if arguments.what == "users" else import_events
    done = asyncio.run(add(settings_of(arguments), arguments.file, recipe))
    if arguments.json:
        _print_json(done.facts())
    else:
        print(done)
    return 0


def _keys(arguments: argparse.Namespace) -> int:
    if (arguments.what == "revoke") != (arguments.id is not None):
        raise UsageError("recserve keys revoke ID; add and list take no id")
    return asyncio.run(_changed_keys(arguments))


async def _changed_keys(arguments: argparse.Namespace) -> int:
    from app.commands.keys import opened_keys

    async with opened_keys(settings_of(arguments)) as keys:
        return await _with_keys(arguments, keys)


async def _with_keys(arguments: argparse.Namespace, keys: "KeyStore") -> int:
    from app.commands.keys import added, checked_limits, key_line, listed, revoked

    if arguments.what == "add":
        sent, facts = await added(
            keys,
            arguments.role,
            arguments.note,
            namespace=arguments.namespace,
            scenarios=arguments.scenario,
            limits=checked_limits(arguments.rate, arguments.burst, arguments.language_rate),
            priority=arguments.priority,
        )
        if arguments.json:
            _print_json({"key": sent, **facts})
        else:
            _say(f"key {facts['id']} with the role {facts['role']}; it is shown this once:")
            print(sent)
    elif arguments.what == "list":
        there = await listed(keys)
        if arguments.json:
            _print_json({"keys": there})
        else:
            for each in there:
                print(key_line(each))
    else:
        said = await revoked(keys, arguments.id)
        if arguments.json:
            _print_json({"revoked": arguments.id})
        else:
            print(said)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from app.commands.doctor import examine

    found = asyncio.run(examine(settings_of(arguments)))
    if arguments.json:
        _print_json(found.shown())
    else:
        print(found)
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from app.server_process import run

    return run(settings_of(arguments))


def _evaluate(arguments: argparse.Namespace) -> int:
    from app.evaluation.command import run

    return run(arguments)


def _bench(arguments: argparse.Namespace) -> int:
    from app.bench.command import run

    return run(arguments, settings_of(arguments))


_ABOUT: Final[Mapping[str, Callable[[CommandParser, argparse.Namespace], int]]] = {
    "help": _help,
    "completion": _complete,
}
_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "inspect": _inspect,
    "build": _build,
    "train": _train,
    "enrich": _enrich,
    "publish": _publish,
    "rollback": _roll_back,
    "serve": _serve,
    "demo": _demo,
    "compact": _compact,
    "export": _export,
    "import": _import,
    "keys": _keys,
    "doctor": _doctor,
    "evaluate": _evaluate,
    "bench": _bench,
}


if __name__ == "__main__":
    sys.exit(main())
