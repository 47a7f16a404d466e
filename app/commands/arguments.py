"""The arguments of all commands, and the settings that they offer as flags.

A command offers the settings that it uses and no others. What a command does is in `app.cli`.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

from app import __version__
from app.bench.command import add_arguments as add_bench_arguments
from app.core.errors import UsageError
from app.core.setting_names import nearest
from app.core.settings import Settings
from app.evaluation.command import add_arguments as add_evaluate_arguments
from app.serving.access.keys import ROLES
from app.serving.access.limits import PRIORITIES

_FORMATS: Final = "CSV and its like, JSON Lines, JSON or Parquet"
_PRECEDENCE: Final = (
    "Flag > RECSERVE_… variable > TOML file (RECSERVE_CONFIG, recserve.toml) > default."
)
_STORE: Final = (
    "bundle",
    "data_dir",
    "store_url",
    "store_namespace",
    "store_timeout_ms",
    "store_max_connections",
    "store_events_per_kind",
    "store_max_age_days",
)
_LANGUAGE_MODEL: Final = (
    "llm_url",
    "llm_model",
    "llm_api_key",
    "llm_api_key_file",
    "llm_timeout_ms",
)
_ENGINE: Final = (
    "bundle",
    "workers",
    "threads",
    "device",
    "max_batch_requests",
    "max_batch_tokens",
)
_ALL: Final = tuple(Settings.model_fields)
SHELLS: Final = ("bash", "zsh", "tcsh")
EXIT_CODES: Final = """\
exit codes of recserve:
  0    done
  1    failed: a bundle, a store, a model or an address cannot be used; or a new bundle ranks worse
       than the one being served, and was not published
  2    wrong usage: a flag, a setting, a RECSERVE_… variable or a recipe
  3    bad data: a file cannot be read, or more than half of its rows cannot be used
  130  interrupted (Ctrl-C)
With 1, 2 and 3 one line on standard error says why, and nothing was published."""

Commands = Any  # argparse's own class for sub-commands is private


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line: the flags of some commands fill a page."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)

    def parsed(self, argv: Iterable[str] | None) -> argparse.Namespace:
        """Parse all arguments; unknown flags are refused with the nearest one that there is.

        Raises:
            UsageError: there are unknown arguments.
        """
        arguments, unknown = self.parse_known_args(None if argv is None else list(argv))
        if not unknown:
            return arguments
        name = unknown[0].partition("=")[0]
        near = nearest(name, self.of(arguments.command)._option_string_actions)  # noqa: SLF001 - there is no other way to list flags
        hint = f"did you mean {near}?" if near else f"see recserve {arguments.command} --help"
        raise UsageError(f"{arguments.command} does not know {name}: {hint}")

    def of(self, command: str) -> argparse.ArgumentParser:
        """Return the parser of a command."""
        parser: argparse.ArgumentParser = self.commands[command]
        return parser

    @property
    def commands(self) -> dict[str, argparse.ArgumentParser]:
        """The parser of each command, by its name."""
        (choices,) = (a.choices for a in self._actions if isinstance(a.choices, dict))
        return choices


def path_of(text: str) -> Path:
    """Return the path that an argument names. An empty one is a shell variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return Path(text)


def make_parser() -> CommandParser:
    """Return the parser of `recserve`; `command` says which command was called."""
    parser = CommandParser("recserve", description="Recommendations in milliseconds.")
    parser.add_argument("--version", action="version", version=f"recserve {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_inspect(commands)
    _add_building(commands)
    _add_generations(commands)
    _add_serving(commands)
    _add_store_commands(commands)
    _add_doctor(commands)
    _add_keys(commands)
    add_evaluate_arguments(commands.add_parser("evaluate", help="measure on held-out data"))
    bench = commands.add_parser(
        "bench", help="measure requests on this machine", epilog=_PRECEDENCE
    )
    add_bench_arguments(bench)
    _add_settings(bench, _ENGINE)
    _add_help(commands)
    return parser


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return the settings of a command: its flags first, then the other sources.

    Raises:
        ValidationError, UsageError: a setting is wrong.
    """
    flags = {name: getattr(arguments, name, None) for name in _ALL}
    return Settings(**{name: value for name, value in flags.items() if value is not None})


def _add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Offer some settings as flags; without the flag, the other sources decide."""
    group = parser.add_argument_group("settings")
    for name in names:
        field = Settings.model_fields[name]
        default = "" if field.default is None else f" (default: {field.default})"
        text = f"{field.description}{default} [env: RECSERVE_{name.upper()}]"
        flag = group.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=_metavar(field.annotation),
            help=text.replace("%", "%%"),
        )
        if field.annotation is bool:  # it may stand alone, and means yes
            flag.nargs, flag.const = "?", "true"


def _metavar(kind: object) -> str:
    return {int: "N", Path: "PATH"}.get(kind, "VALUE") if isinstance(kind, type) else "VALUE"


def _add_building(commands: Commands) -> None:
    build = commands.add_parser("build", help="build a bundle from item and event files")
    build.add_argument("--items", type=path_of, metavar="FILE", help=f"items: {_FORMATS}")
    build.add_argument("--events", type=path_of, metavar="FILE", help=f"events: {_FORMATS}")
    build.add_argument("--users", type=path_of, metavar="FILE", help=f"who users are: {_FORMATS}")
    _add_judgements(build)
    _add_recipe(build, "column names, weights, text")
    build.add_argument(
        "--out", type=path_of, required=True, metavar="FOLDER", help="bundle folder, models/NAME"
    )
    build.add_argument("--no-learn", action="store_true", help="do not train; `train` can do it")
    _add_force(build)
    _add_json(build)

    train = commands.add_parser(
        "train", help="train an existing bundle again, from events", epilog=_PRECEDENCE
    )
    _add_bundle(train)
    train.add_argument("--events", type=path_of, metavar="FILE", help=f"events: {_FORMATS}")
    _add_judgements(train)
    collected = "train from the events of the store, and from --events if given"
    train.add_argument("--events-from-store", action="store_true", help=collected)
    _add_recipe(train, "column names and weights; default: that of the bundle")
    _add_force(train)
    _add_json(train)
    _add_settings(train, [name for name in _STORE if name != "bundle"])

    enrich = commands.add_parser(
        "enrich", help="let a language model add columns to items", epilog=_PRECEDENCE
    )
    enrich.add_argument("--items", type=path_of, required=True, metavar="FILE", help=_FORMATS)
    text = "file to write: .csv for CSV and its like, otherwise .jsonl"
    enrich.add_argument("--out", type=path_of, required=True, metavar="FILE", help=text)
    _add_recipe(enrich, "which column is the id")
    enrich.add_argument("--batch", type=int, default=8, help="items in one call, 1 to 64 (8)")
    enrich.add_argument("--dry-run", action="store_true", help="ask nothing; estimate tokens, time")
    for name in ("prompt", "answer"):
        text = f"price of a million {name} tokens, to show what it costs"
        enrich.add_argument(f"--price-{name}", type=float, default=0.0, help=text)
    _add_settings(enrich, _LANGUAGE_MODEL)


def _add_inspect(commands: Commands) -> None:
    inspect = commands.add_parser(
        "inspect", help="show what files hold, and a recipe to build from them"
    )
    inspect.add_argument("files", type=path_of, nargs="+", metavar="FILE", help=_FORMATS)
    text = "what the file holds; default: guessed by its columns"
    kinds = ("items", "events", "users", "judgements")
    inspect.add_argument("--as", dest="section", choices=kinds, help=text)
    _add_recipe(inspect, "what is known of the files already")
    _add_json(inspect)


def _add_generations(commands: Commands) -> None:
    published = commands.add_parser("publish", help="serve an existing generation")
    _add_bundle(published)
    published.add_argument("generation", help="name of its folder in the bundle folder")
    _add_bundle(commands.add_parser("rollback", help="serve the newest older generation again"))


def _add_serving(commands: Commands) -> None:
    serve = commands.add_parser("serve", help="serve a bundle over HTTP", epilog=_PRECEDENCE)
    _add_settings(serve, _ALL)
    demo = commands.add_parser(
        "demo",
        help="serve the MovieLens demo; build it if needed, and train it while it is served",
        epilog=_PRECEDENCE,
    )
    until = demo.add_mutually_exclusive_group()
    until.add_argument("--wait", action="store_true", help="serve it only once it is trained")
    until.add_argument("--build-only", action="store_true", help="build and train it, then stop")
    _add_settings(demo, _ALL)


def _add_store_commands(commands: Commands) -> None:
    compact = commands.add_parser(
        "compact", help="drop old events and rewrite the event store", epilog=_PRECEDENCE
    )
    _add_settings(compact, _STORE)

    what = ("events", "users")
    export = commands.add_parser(
        "export", help="write events, or attributes of users, to a file", epilog=_PRECEDENCE
    )
    export.add_argument("what", choices=what)
    export.add_argument(
        "--out", type=path_of, default=Path("-"), metavar="FILE", help="FILE.jsonl (default: -)"
    )
    _add_json(export)
    _add_settings(export, _STORE)

    importing = commands.add_parser(
        "import", help="add a file of events or users to the store", epilog=_PRECEDENCE
    )
    importing.add_argument("what", choices=what)
    importing.add_argument("file", type=path_of, help=_FORMATS)
    _add_recipe(importing, "names of the columns")
    _add_json(importing)
    _add_settings(importing, _STORE)


def _add_doctor(commands: Commands) -> None:
    doctor = commands.add_parser(
        "doctor", help="say what is wrong with a bundle and its events", epilog=_PRECEDENCE
    )
    _add_json(doctor)
    _add_settings(doctor, (*_STORE, "workers", "cache_url", "threads", "device"))


def _add_keys(commands: Commands) -> None:
    keys = commands.add_parser("keys", help="add, list or revoke API keys", epilog=_PRECEDENCE)
    keys.add_argument("what", choices=("add", "list", "revoke"))
    keys.add_argument("id", nargs="?", help="of the key to revoke, as list shows it")
    text = "what the holder of a new key may do (default: read)"
    keys.add_argument("--role", choices=ROLES, default="read", help=text)
    keys.add_argument("--note", default="", help="whose the new key is")
    text = "whose users its holder reads and writes (default: those of no namespace)"
    keys.add_argument("--namespace", default="", help=text)
    text = "the only scenario with which its holder may ask; may be given several times"
    keys.add_argument("--scenario", action="append", default=[], help=text)
    text = "requests a second that a new key may send; a batch counts as many (default: no limit)"
    keys.add_argument("--rate", type=float, help=text)
    text = "how many of them at once (default: those of a second)"
    keys.add_argument("--burst", type=int, metavar="N", help=text)
    text = "texts and queries to learn a second (default: no limit of their own)"
    keys.add_argument("--language-rate", type=float, metavar="RATE", help=text)
    text = "how urgent its requests are (default: admin for the role admin, else interactive)"
    keys.add_argument("--class", dest="priority", choices=PRIORITIES, help=text)
    _add_json(keys)
    _add_settings(keys, ("api_keys", "api_keys_file", "store_url", "data_dir"))


def _add_help(commands: Commands) -> None:
    topics = [*commands.choices, "help", "completion", "exit-codes"]
    helping = commands.add_parser("help", help="help for a command, or for exit-codes")
    helping.add_argument("topic", nargs="?", choices=topics, metavar="TOPIC", help="what about")
    completion = commands.add_parser(
        "completion", help="print a script with which a shell completes commands and flags"
    )
    completion.add_argument("shell", choices=SHELLS)


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    text = "bundle folder, models/NAME"
    parser.add_argument("--bundle", type=path_of, required=True, metavar="FOLDER", help=text)


def _add_recipe(parser: argparse.ArgumentParser, says: str) -> None:
    text = f"recipe (TOML), or the name of a preset such as shop: {says}"
    parser.add_argument("--recipe", type=path_of, metavar="FILE", help=text)


def _add_judgements(parser: argparse.ArgumentParser) -> None:
    text = f"queries, items and grades to learn from: {_FORMATS}"
    parser.add_argument("--judgements", type=path_of, metavar="FILE", help=text)


def _add_force(parser: argparse.ArgumentParser) -> None:
    text = "publish the result even if it ranks worse than the bundle being served"
    parser.add_argument("--force", action="store_true", help=text)


def _add_json(parser: argparse.ArgumentParser) -> None:
    text = "print the result as one JSON object; progress goes to standard error"
    parser.add_argument("--json", action="store_true", help=text)
