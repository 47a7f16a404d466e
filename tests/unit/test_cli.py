"""The command line: which settings win, what is refused and how, help, and completion."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.commands.arguments import EXIT_CODES, make_parser, settings_of
from app.core.settings import Settings
from tests.bundles import ITEMS, write_jsonl


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TOML file that sets three settings, of which the environment sets two."""
    config = tmp_path / "my.toml"
    config.write_text('port = 1001\nhost = "file"\nworkers = 3\n')
    monkeypatch.setenv("RECSERVE_CONFIG", str(config))
    monkeypatch.setenv("RECSERVE_PORT", "1002")
    monkeypatch.setenv("RECSERVE_HOST", "environment")


OF_THE_STORE = [
    ["compact"],
    ["export", "events"],
    ["import", "events", "f.jsonl"],
    ["export", "users"],
    ["import", "users", "f.jsonl"],
    ["train", "--bundle", "b"],
]


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_flag_before_environment_before_file_before_default(command: str) -> None:
    settings = settings_of(make_parser().parsed([command, "--port", "1003"]))

    assert settings.port == 1003
    assert settings.host == "environment"
    assert settings.workers == 3
    assert settings.data_dir == Path("data")


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("command", OF_THE_STORE)
def test_commands_of_the_store_take_its_settings(command: list[str]) -> None:
    settings = settings_of(make_parser().parsed([*command, "--data-dir", "d", "--bundle", "m/b"]))
    assert (settings.data_dir, settings.bundle, settings.workers) == (Path("d"), Path("m/b"), 3)


def test_every_setting_is_a_flag_of_serve_and_the_others_offer_what_they_use() -> None:
    commands = make_parser().commands

    def settings(command: str) -> set[str]:
        flags = {action.dest for action in commands[command]._actions}
        return flags & Settings.model_fields.keys()

    assert settings("serve") == settings("demo") == Settings.model_fields.keys()
    for command in ("compact", "export", "import", "train"):
        assert {"bundle", "data_dir", "store_url", "store_namespace"} <= settings(command)
        assert not {"port", "cache_url", "llm_url"} & settings(command)
    assert settings("build") == set()
    assert settings("rollback") == {"bundle"}
    assert settings("enrich") == {name for name in Settings.model_fields if "llm" in name} - {
        "llm_max_per_minute",
        "llm_min_callers",
        "llm_text_ms",
        "llm_text_tokens",
    }


@pytest.mark.parametrize("value", ["", "a,b", "[1]", '"quoted"', "{}"])
def test_a_flag_is_taken_as_it_is_written(value: str) -> None:
    assert settings_of(make_parser().parsed(["serve", f"--host={value}"])).host == value


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "99999"], "setting port: Input should be less than or equal to 65535"),
        (["--log-level", "loud"], "setting log_level: Input should be 'debug'"),
        (["--cache-url", "http://x"], "setting cache_url: it must begin with redis://"),
    ],
)
def test_a_wrong_setting_is_a_usage_error_that_names_it(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *flags]) == 2
    assert message in capsys.readouterr().err


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on standard error."""
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["serve", "--prot", "1"], "recserve: serve does not know --prot: did you mean --port?"),
        (["build", "--item=x"], "recserve build: the following arguments are required: --out"),
        (["export", "events", "--port", "1"], "recserve: export does not know --port: see "),
        (["serve", "extra"], "recserve: serve does not know extra: see recserve serve --help"),
        (["build", "--out", ""], "recserve build: argument --out: it is empty"),
        (["bench", "--seconds", "x"], "recserve bench: argument --seconds: 'x' is not a number"),
        (
            ["build", "--items", "x", "--out", "b", "--recipe", "shopp"],
            "recserve: there is neither a file nor a preset shopp; presets: ",
        ),
        (["servee"], "recserve: argument COMMAND: invalid choice: 'servee'"),
        ([], "recserve: the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_flag_is_one_line(
    flags: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(flags)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert said(capsys).startswith(line)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("RECSERVE_PROT", "RECSERVE_PORT"),
        ("RECSERVE_CACHE_TTL", "RECSERVE_CACHE_TTL_MS"),
        ("RECSERVE_STORE_NAMESPACES", "RECSERVE_STORE_NAMESPACE"),
        ("recserve_datadir", "RECSERVE_DATA_DIR"),
        ("RECSERVE_CONFIGS", "RECSERVE_CONFIG"),
    ],
)
@pytest.mark.parametrize("command", [["serve"], ["rollback", "--bundle", "x"]])
def test_a_misspelt_variable_stops_every_command(
    variable: str,
    meant: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, "1")
    assert main(command) == 2
    assert said(capsys) == f"recserve: there is no {variable}: did you mean {meant}?"


def test_a_variable_like_no_setting_is_said_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kubernetes sets such variables for a service of our name."""
    monkeypatch.setenv("RECSERVE_SERVICE_PORT_HTTP", "80")
    monkeypatch.setenv("RECSERVE_SHARED", "../shared")
    assert main(["rollback", "--bundle", "absent"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "recserve: RECSERVE_SERVICE_PORT_HTTP is no setting of recserve"
    assert "absent" in second


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("prot = 1", "there is no setting prot: did you mean port?"),
        ("xyz = 1", "there is no setting xyz"),
        ("port = ", "my.toml is not TOML: "),
        (b"port = 1 # \xff", "my.toml is not TOML: "),
        ('port = "x"', "setting port: "),
        (None, "RECSERVE_CONFIG names my.toml, which is no file"),
    ],
)
def test_a_wrong_file_of_settings_is_one_line(
    content: str | bytes | None,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSERVE_CONFIG", "my.toml")
    if content is not None:
        Path("my.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["serve"]) == 2
    assert said(capsys).startswith(f"recserve: {line}")


def test_the_default_file_of_settings_need_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSERVE_CONFIG", raising=False)
    assert Settings().port == 8000
    Path("recserve.toml").write_text("port = 8001")
    assert Settings().port == 8001


def test_help_names_exit_codes_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "exit-codes"]) == 0
    assert capsys.readouterr().out == EXIT_CODES + "\n"
    assert main(["help", "export"]) == 0
    shown = capsys.readouterr().out
    assert "usage: recserve export" in shown
    assert "RECSERVE_STORE_NAMESPACE" in shown
    assert "RECSERVE_PORT" not in shown
    assert main(["help"]) == 0
    assert "exit-codes" in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["recserve", "exp"], ["export"]),
        (["recserve", "export", "ev"], ["events"]),
        (["recserve", "serve", "--cache-u"], ["--cache-url"]),
        (["recserve", "help", "exi"], ["exit-codes"]),
    ],
)
def test_bash_completes_commands_and_flags(words: list[str], completed: list[str]) -> None:
    make = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main(['completion', 'bash'])"],
        capture_output=True,
        text=True,
        check=True,
    )
    ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_recserve; "
    bash = ["bash", "-c", f'{make.stdout}\n{ask} echo "${{COMPREPLY[@]}}"']
    done = subprocess.run(bash, capture_output=True, text=True, check=True)
    assert done.stdout.split() == completed


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script_too(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "rollback" in capsys.readouterr().out


def test_an_error_is_json_too_where_json_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = write_jsonl(tmp_path / "items.jsonl", [{"id": ""}, *ITEMS[:1]])
    flags = ["--items", str(tmp_path / "absent"), "--out", str(tmp_path / "x"), "--json"]
    assert main(["build", *flags]) == 3
    shown = capsys.readouterr()
    assert "absent" in shown.err
    error = json.loads(shown.out)["error"]
    assert error["code"] == "bad_data"
    assert "absent" in error["message"]
    assert items.exists()


def test_an_error_of_the_system_names_the_file_and_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items, taken = write_jsonl(tmp_path / "items.jsonl", ITEMS), tmp_path / "taken"
    taken.write_text("a file")

    assert main(["build", "--items", str(items), "--no-learn", "--out", str(taken)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"recserve: {taken}: File exists"


def test_a_folder_is_no_file_of_items(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--items", str(tmp_path), "--out", str(tmp_path / "b")]) == 3
    assert said(capsys) == f"recserve: {tmp_path.name} is a folder, not a file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[items]\nidd = "x"\n', "items.idd: there is no such key; did you mean `id`?"),
        ("itmes = 1\n", "itmes: there is no such key; did you mean `items`?"),
    ],
)
def test_a_misspelt_key_of_a_recipe_names_the_nearest(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "my.toml"
    recipe.write_text(text)

    code = main(["build", "--items", "x", "--recipe", str(recipe), "--out", str(tmp_path / "b")])

    assert (code, said(capsys)) == (2, f"recserve: my.toml: {message}")


def test_a_store_that_is_down_is_said_once() -> None:
    command = ["compact", "--store-url", "redis://127.0.0.1:1/0"]
    code = f"import sys; from app.cli import main; sys.exit(main({command}))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "the store at 127.0.0.1",
        "recserve",
    ]
