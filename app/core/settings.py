"""The settings of the service, with their bounds; names carry the units. Import makes no instance.

Order of precedence: command-line flag > `RECSERVE_…` variable > TOML file > default. The TOML file
is named by `RECSERVE_CONFIG` (default `recserve.toml`, which need not exist).
"""

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from app.core.errors import UsageError
from app.core.logs import LogFormat
from app.core.types import Device, Retention

_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+")


def _checked_root_path(path: str) -> str | None:
    """Return a prefix without a slash at the end; None = there is none."""
    prefix = path.strip().rstrip("/")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError("it begins with a slash and is part of an address, such as /shop")
    return prefix or None


def _checked_origins(text: str) -> str | None:
    """Return a list of origins in lower case, with commas; None = there are none."""
    origins = [origin for part in text.split(",") if (origin := part.strip().lower())]
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin} is no origin: an origin is https://name or https://name:port, without "
                "a slash at the end"
            )
    return ",".join(origins) or None


class Settings(BaseSettings):
    """Everything that can be set; each field says what it is for, in which unit."""

    model_config = SettingsConfigDict(
        env_prefix="RECSERVE_", env_ignore_empty=True, extra="forbid", frozen=True
    )

    bundle: Path = Field(
        Path("models/demo"), description="Bundle to serve: NAME or NAME/GENERATION."
    )
    watch_catalogue_ms: int = Field(
        250,
        ge=10,
        le=60_000,
        description="How often changes of items, rules and scenarios by other processes are "
        "looked for, in ms.",
    )
    watch_bundle_ms: int = Field(
        1000,
        ge=0,
        le=3_600_000,
        description="How often to look whether NAME/current has moved, in ms; 0 = never.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on; :: = all of IPv6 and IPv4.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    admin_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which alone /admin and /metrics answer; unset = the port above.",
    )
    admin_host: str = Field("127.0.0.1", description="Address of that port.")
    workers: int = Field(1, ge=1, le=64, description="Processes, each a full replica.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    access_log_per_second: int = Field(
        50,
        ge=0,
        le=100_000,
        description="Most requests that are logged in a second, per process; 0 = none.",
    )
    slow_request_ms: int = Field(
        1000,
        ge=0,
        le=600_000,
        description="Time from which on a request is logged with its stages, in ms; 0 = never.",
    )
    log_format: LogFormat = Field("pretty", description="How lines are logged: pretty or json.")

    threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Encoder threads per process; 0 = cores / workers - 1, as one ranks.",
    )
    device: Device = Field(
        "cpu", description="What encodes, and searches large catalogues: cpu or cuda."
    )
    max_batch_requests: int = Field(
        64, ge=1, le=1024, description="Most requests in one engine pass."
    )
    max_batch_tokens: int = Field(
        1024, ge=16, le=65536, description="Most encoder tokens in one engine pass."
    )
    max_pending_requests: int = Field(
        1024,
        ge=1,
        le=100_000,
        description="Most requests waiting for the engine; more are refused.",
    )
    shutdown_delay_ms: int = Field(
        3000,
        ge=0,
        le=600_000,
        description="How long requests are still taken after SIGTERM, while /readyz says 503, "
        "in ms.",
    )
    drain_timeout_ms: int = Field(
        5000, ge=0, le=60_000, description="Time given to requests in flight when stopping, in ms."
    )
    hang_limit_ms: int = Field(
        10_000,
        ge=0,
        le=3_600_000,
        description="Longest time of one call of the engine, in ms; beyond it the process ends "
        "for its supervisor; 0 = no limit.",
    )

    api_keys: Literal["store"] | None = Field(
        None,
        description="store: API keys are kept beside the events, for all replicas; unset = in the "
        "file below, if there is one.",
    )
    api_keys_file: Path | None = Field(
        None,
        description="File of API keys, made by recserve keys add; unset = nobody has a key.",
    )
    allow_anonymous: bool = Field(
        False,
        description="Answer callers without a key: those who read, where there are keys; "
        "else all but administrators, also when listening beyond this machine.",
    )
    anonymous_rate: float | None = Field(
        None,
        ge=0.001,
        le=1_000_000,
        allow_inf_nan=False,
        description="Requests a second of all callers without a key together; unset = no limit.",
    )
    anonymous_burst: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Most of their requests at once; unset = those of a second.",
    )
    anonymous_language_rate: float | None = Field(
        None,
        ge=0.001,
        le=1_000_000,
        allow_inf_nan=False,
        description="Texts and queries to learn a second of callers without a key together; "
        "unset = no limit.",
    )
    root_path: Annotated[str, AfterValidator(_checked_root_path)] | None = Field(
        None, description="Prefix under which a proxy serves this, such as /shop; unset = none."
    )
    cors_origins: Annotated[str, AfterValidator(_checked_origins)] | None = Field(
        None,
        description="Origins whose pages may call this from a browser, with commas: "
        "https://shop.example, or * for all; unset = none.",
    )
    max_body_bytes: int = Field(
        1_048_576, ge=1024, le=104_857_600, description="Largest request body, in bytes."
    )

    cache_url: str | None = Field(
        None,
        pattern=r"^(rediss?|unix)://",
        description="redis://… of the shared cache; unset = in-process only.",
    )
    cache_ttl_ms: int = Field(
        300_000, ge=1000, le=86_400_000, description="Life of a cached answer, in ms, ± 10 %."
    )
    cache_timeout_ms: int = Field(
        30, ge=5, le=1000, description="Longest wait for the shared cache, in ms."
    )
    cache_max_connections: int = Field(
        16, ge=1, le=1000, description="Most connections to the shared cache per process."
    )
    cache_local_bytes: int = Field(
        33_554_432,
        ge=0,
        description="Size of the in-process cache, in bytes; 0 = off.",
    )

    data_dir: Path = Field(
        Path("data"), description="Folder of what the service itself keeps; made if missing."
    )
    store_url: str | None = Field(
        None,
        description="Event store: redis://… or sqlite:///path; unset = store.sqlite in data_dir.",
    )
    store_namespace: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Whose events, users and changed items these are; unset = name of the bundle.",
    )
    store_timeout_ms: int = Field(
        2000,
        ge=10,
        le=60_000,
        description="Longest wait for a Redis event store, in ms.",
    )
    store_read_timeout_ms: int = Field(
        200, ge=5, le=10_000, description="Longest wait for user state when recommending, in ms."
    )
    store_max_connections: int = Field(
        16, ge=1, le=1000, description="Most connections to a Redis event store per process."
    )
    store_events_per_kind: int = Field(
        1000, ge=1, le=100_000, description="Events kept of each user and kind, the newest."
    )
    store_max_age_days: int = Field(
        0, ge=0, le=36_500, description="Age beyond which events are dropped, in days; 0 = none."
    )

    keep_answers_hours: int = Field(
        0, ge=0, le=8760, description="How long answers are kept, in hours; 0 = not at all."
    )
    keep_answers_bytes: int = Field(
        1_073_741_824,
        ge=1_048_576,
        description="Size of the kept answers, in bytes; beyond it the oldest leave.",
    )

    llm_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Language model that learns queries and writes texts: base URL of an "
        "OpenAI-compatible endpoint, such as http://localhost:8080/v1; unset = none.",
    )
    llm_model: str = Field(
        "default", min_length=1, max_length=256, description="Name of the model at that endpoint."
    )
    llm_api_key: SecretStr | None = Field(
        None, description="Key for that endpoint. A flag would show it in the list of processes."
    )
    llm_api_key_file: Path | None = Field(
        None, description="File with that key, read at the start if llm_api_key is unset."
    )
    llm_timeout_ms: int = Field(
        30_000, ge=100, le=600_000, description="Longest wait for the language model, in ms."
    )
    llm_max_per_minute: int = Field(
        20, ge=1, le=10_000, description="Most calls of the language model a minute, all replicas."
    )
    llm_text_tokens: int = Field(
        200, ge=16, le=4096, description="Most tokens of a text that it writes about an answer."
    )
    llm_text_ms: int = Field(
        10_000, ge=100, le=600_000, description="Longest time of such a text, in ms."
    )
    llm_min_callers: int = Field(
        3,
        ge=1,
        le=1000,
        description="How many different callers must have sent a query before its words are asked.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags (given to the constructor) > environment > TOML > defaults."""
        return init_settings, env_settings, _config_file(settings_cls)

    @property
    def has_keys(self) -> bool:
        """Whether callers have API keys."""
        return self.api_keys is not None or self.api_keys_file is not None

    def retention(self) -> Retention:
        """How long events are kept."""
        days = self.store_max_age_days
        return Retention(self.store_events_per_kind, days * 86_400.0 if days else None)

    def threads_per_worker(self) -> int:
        """Threads that encode in one process; with one more that ranks they fit the cores."""
        cores = len(os.sched_getaffinity(0))
        return self.threads or max(1, cores // self.workers - 1)


def _config_file(settings_cls: type[BaseSettings]) -> TomlConfigSettingsSource:
    """Return what the TOML file sets.

    Raises:
        UsageError: it is named and not there, or it is not TOML.
    """
    named = os.environ.get("RECSERVE_CONFIG")
    path = Path(named or "recserve.toml")
    if named and not path.is_file():
        raise UsageError(f"RECSERVE_CONFIG names {named}, which is no file")
    try:
        return TomlConfigSettingsSource(settings_cls, path)
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not TOML: it is not UTF-8") from error
    except ValueError as error:  # TOMLDecodeError
        raise UsageError(f"{path.name} is not TOML: {error}") from error
