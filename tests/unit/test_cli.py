"""Settings from the command line: which source wins, and what is refused."""

from pathlib import Path

import pytest

from app.cli import _parser, _settings, main


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TOML file that sets three settings, of which the environment sets two."""
    config = tmp_path / "my.toml"
    config.write_text('port = 1001\nhost = "file"\nworkers = 3\n')
    monkeypatch.setenv("RECSERVE_CONFIG", str(config))
    monkeypatch.setenv("RECSERVE_PORT", "1002")
    monkeypatch.setenv("RECSERVE_HOST", "environment")


COMMANDS = [
    ["serve"],
    ["demo"],
    ["compact"],
    ["export", "events"],
    ["import", "events", "f.jsonl"],
    ["export", "users"],
    ["import", "users", "f.jsonl"],
    ["bench"],
]


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("command", COMMANDS)
def test_flag_before_environment_before_file_before_default(command: list[str]) -> None:
    settings = _settings(_parser().parse_args([*command, "--port", "1003"]))

    assert settings.port == 1003
    assert settings.host == "environment"
    assert settings.workers == 3
    assert settings.data_dir == Path("data")


@pytest.mark.parametrize("value", ["", "a,b", "[1]", '"quoted"', "{}"])
def test_a_flag_is_taken_as_it_is_written(value: str) -> None:
    assert _settings(_parser().parse_args(["serve", "--host", value])).host == value


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "99999"], "setting port: Input should be less than or equal to 65535"),
        (["--log-level", "loud"], "setting log_level: Input should be 'debug'"),
        (["--cache-url", "http://x"], "setting cache_url: String should match pattern"),
    ],
)
def test_a_wrong_setting_is_a_usage_error_that_names_it(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *flags]) == 2
    assert message in capsys.readouterr().err
