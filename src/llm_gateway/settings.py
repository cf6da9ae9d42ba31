"""Every setting of the service, described once: validation, reference docs, `.env.example` and the schema of the
config file are made from the fields below.

`Settings(...)` is a plain value: making one reads no environment and no file (`config.load` does). Durations are
seconds, sizes are bytes.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from llm_gateway.access.policy import Trust
from llm_gateway.passwords import SHORTEST, weakness

PREFIX: Final = "LLM_GATEWAY_"
CREDENTIAL: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{18,198}[\x21-\x7e]")
"""What may be a key or the admin token when people choose it themselves."""
FIRST_USER: Final = "admin"
"""Who is made of `admin_password`."""
CREDENTIAL_RULE: Final = "20 to 200 printable ASCII characters"


def wrong(text: str, hint: str = "") -> PydanticCustomError:
    """For validators to raise. `text` goes on after the name of the key: "must be …"."""
    return PydanticCustomError("mistake", "{text}", {"text": text, "hint": hint})


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise wrong("must be a network such as 10.0.0.0/8, or a single address") from None
    raise wrong("has bits set behind its prefix", f"Did you mean `{meant}`?")


def _origin(text: str) -> str:
    parts = _split_url(text)
    if text == "*" or (parts and parts.scheme in ("http", "https") and text == f"{parts.scheme}://{parts.netloc}"):
        return text
    raise wrong("must be an origin such as https://chat.example.org, without a path, or `*`")


def _public_url(text: str) -> str:
    parts = _split_url(text)
    if not parts or parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong("must be an address such as https://llm.example.org")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise wrong("must hold no user name, query or fragment")
    return text.rstrip("/")


def _root_path(text: str) -> str:
    if text in ("", "/"):
        return ""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", text):
        raise wrong("must be a path such as /llm")
    return text.rstrip("/")


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", text):
        raise wrong("must be an address or a host name such as 127.0.0.1", "The port is a setting of its own: `port`.")
    return text


def _database_url(secret: SecretStr) -> SecretStr:
    scheme, mark, rest = secret.get_secret_value().partition("://")
    if not mark or not rest or scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise wrong("must start with sqlite:/// or postgresql://", "Leave it out for SQLite in the data directory.")
    return secret


def _redis_url(secret: SecretStr) -> SecretStr:
    if not re.match(r"(redis|rediss|valkey|valkeys|unix)://.", secret.get_secret_value()):
        raise wrong("must start with redis:// or rediss://")
    return secret


def _credential(secret: SecretStr) -> SecretStr:
    if not CREDENTIAL.fullmatch(secret.get_secret_value()):
        raise wrong(f"must be {CREDENTIAL_RULE}", "`openssl rand -base64 32` makes a good one.")
    return secret


def _password(secret: SecretStr) -> SecretStr:
    if wrong_with := weakness(secret.get_secret_value(), FIRST_USER):
        raise wrong(f"must {wrong_with}", "`openssl rand -base64 24` makes a good one.")
    return secret


def _split_url(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return None
    return parts


def _listed(value: object) -> object:
    """Lists may be written as text, in JSON or with commas: environment variables hold nothing else."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return tuple(json.loads(value))
        except (ValueError, RecursionError):
            raise wrong("is not a JSON list") from None
    return tuple(part for part in (p.strip() for p in value.split(",")) if part)


def _folded(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _home_expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise wrong("starts with `~`, but there is no home directory") from None


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Where state lives unless told otherwise (XDG Base Directory Specification, `XDG_DATA_HOME`)."""
    given = environ.get("XDG_DATA_HOME", "")
    home = environ.get("HOME")
    share = Path(given) if given.startswith("/") else (Path(home) if home else Path.home()) / ".local" / "share"
    return share / "llm-gateway"


Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_listed)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_listed)]
FilePath = Annotated[Path, AfterValidator(_home_expanded)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Section(BaseModel):
    """A group of settings. Unknown names are errors, values do not change, inputs stay out of error texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class OllamaFreeApi(Section):
    enabled: bool = Field(
        default=True, description="Use the community servers that `ollamafreeapi` lists: strangers' machines."
    )
    trust: Trust = Field(default=Trust.PUBLIC, description="Their trust class: only projects that allow it use them.")
    path: FilePath | None = Field(
        default=None, description="Directory with a newer copy of the package's data; absent: the installed package."
    )


class Sources(Section):
    ollamafreeapi: OllamaFreeApi = Field(default=OllamaFreeApi(), description="The catalogue of community servers.")


class Timeouts(Section):
    body: Seconds = Field(default=30.0, description="A client sending the body of its request.")
    connect: Seconds = Field(default=2.0, description="TCP connection to a model server.")
    tls: Seconds = Field(default=3.0, description="TLS handshake with a model server.")
    write: Seconds = Field(default=10.0, description="Sending a request, without progress.")
    head: Seconds = Field(default=10.0, description="Head of an answer, from its first byte to its end.")
    first_token: Seconds = Field(
        default=20.0, description="Silence after which a further server is asked beside a slow one, at most."
    )
    first_token_cold: Seconds = Field(
        default=60.0, description="The same for a server that said that it has to load the model first."
    )
    stall: Seconds = Field(default=20.0, description="Silence between two pieces of content.")
    thinking: Seconds = Field(default=120.0, description="Thinking without any word of the answer.")
    slow: Seconds = Field(
        default=20.0, description="A stream far too slow for so long (under half a token per second) moves elsewhere."
    )
    budget: Seconds = Field(default=30.0, description="All attempts before the first content while others are untried.")
    total: Seconds = Field(default=600.0, description="A whole request, from admission to its last byte.")


class Probes(Section):
    every: Seconds = Field(
        default=60.0,
        description="Between two looks at a server, give or take a fifth; five times as long for one that has been "
        "there for an hour and is not in use.",
    )
    timeout: Seconds = Field(default=5.0, description="Of one such look.")


class Retention(Section):
    request_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=90, description="Days that rows of the request log, and of its attempts, are kept."
    )
    payload_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        default=7, description="Days that prompts and answers are kept, where a project keeps them and says no other."
    )
    minute_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        default=14, description="Days that figures by the minute are kept; those by hours and days stay."
    )

    audit_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=365, description="Days that the audit log of changes and sign-ins is kept."
    )


class Settings(Section):
    database_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = Field(
        default=None,
        description="`sqlite:///…` or `postgresql://user:password@host/name`; absent: SQLite in the data directory.",
    )
    data_dir: FilePath = Field(
        default_factory=lambda: default_data_dir(os.environ),
        description="Database, journal, admin token and run-time files; made when missing. With `$XDG_DATA_HOME` set: "
        "below that.",
    )
    host: Annotated[str, AfterValidator(_host)] = Field(
        default="127.0.0.1", description="Address to listen on. Others than loopback need `admin_token`."
    )
    port: int = Field(default=8000, ge=0, le=65_535, description="Port to listen on; 0: any free one.")
    workers: int = Field(
        default=1, ge=1, le=256, description="Worker processes. More than one need PostgreSQL and Redis/Valkey."
    )
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        default=None, description="`redis://…`, for limits and fleet state shared by several workers and hosts."
    )
    admin_token: Annotated[SecretStr, AfterValidator(_credential)] | None = Field(
        default=None,
        description=f"Bearer token of `/admin/api` and `/metrics`, {CREDENTIAL_RULE}; absent: one is made and kept in "
        "a file of the data directory.",
    )
    admin_password: Annotated[SecretStr, AfterValidator(_password)] | None = Field(
        default=None,
        description=f"Password of the dashboard's user `admin`, at least {SHORTEST} characters: the user is made at a "
        "start that finds no user at all. Absent: a first start shows a one-time link.",
    )
    public_url: Annotated[str, AfterValidator(_public_url)] | None = Field(
        default=None, description="Address under which clients reach the service, where it differs from host and port."
    )
    root_path: Annotated[str, AfterValidator(_root_path)] = Field(
        default="", description="Path prefix that a proxy in front strips, such as `/llm`."
    )
    keys_in_urls: bool = Field(
        default=False,
        description="Take a project's key from the address, `/k/KEY/…`, for clients that can send none (the `ollama` "
        "command). Proxies in front write such addresses into their logs.",
    )
    trusted_proxies: Networks = Field(
        default=(), description="Networks of proxies in front. Only their `X-Forwarded-*` headers are believed."
    )
    cors_origins: Origins = Field(default=(), description="Browser origins that may call the API.")
    only_networks: Networks | None = Field(
        default=None,
        min_length=1,
        description="When set, no connection to a model server is ever opened to an address outside these networks.",
    )
    allow_private_upstreams: Networks = Field(
        default=(), description="Networks that model servers may be in besides public addresses, such as `10.0.0.0/8`."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_folded)] = Field(
        default="info", description="Least important messages that are logged."
    )
    log_format: Annotated[Literal["auto", "json", "pretty"], BeforeValidator(_folded)] = Field(
        default="auto", description="`auto`: pretty on a terminal, otherwise JSON."
    )
    max_body: int = Field(default=4 * 2**20, ge=1024, le=2**30, description="Largest request body.")
    max_body_with_images: int = Field(
        default=20 * 2**20, ge=1024, le=2**30, description="Largest request body where images are allowed."
    )
    max_tokens: int = Field(
        default=8192,
        ge=1,
        le=1_000_000,
        description="Most tokens of one answer, thoughts included: then it ends as `length`. A model whose own default "
        "`max_tokens` is higher may use as many.",
    )
    max_memory: int | None = Field(
        default=None,
        ge=128 * 2**20,
        description="Resident memory at 80 % of which large requests, at 90 % all, are refused with 503; absent: the "
        "container's limit, where there is one.",
    )
    sources: Sources = Field(default=Sources(), description="Where servers come from besides this file.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Longest waits, in seconds.")
    log_mode: Annotated[Literal["serve", "strict"], BeforeValidator(_folded)] = Field(
        default="serve",
        description="When the request log cannot be written (disk full): `serve` requests all the same and count the "
        "rows that are lost, or refuse them (`strict`, 503 `log_unavailable`).",
    )
    attempt_rows: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        default=1.0,
        description="Share of requests whose attempts are written down, from 0 to 1. Requests with more than one "
        "attempt are, unless it is 0.",
    )
    retention: Retention = Field(default=Retention(), description="How long things are kept, in days.")
    snapshot_max_age: Annotated[float, Field(gt=0, le=30 * 86_400)] = Field(
        default=86_400.0,
        description="Seconds for which the last known configuration serves while the database is away at a start.",
    )
    probes: Probes = Field(default=Probes(), description="How often servers are looked at, in seconds.")

    @property
    def database(self) -> str:
        """The database's URL, with its password where it has one."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'gateway.db'}"


NEVER_EMPTY: Final = frozenset({("admin_password",), ("admin_token",), ("database_url",), ("only_networks",)})
"""Settings for which an empty value is a mistake: somebody believes that a secret, a database or a fence is there.
For others an empty value means that none is given."""


class Contradiction(NamedTuple):
    """Settings that are fine one by one and wrong together."""

    settings: tuple[str, ...]
    """The ones to change, likeliest first."""
    message: str
    hint: str = ""


def contradictions(settings: Settings) -> Iterator[Contradiction]:
    """What no field can know alone."""
    if settings.workers > 1:
        if settings.database.startswith("sqlite"):
            yield Contradiction(
                ("workers",),
                "several workers need PostgreSQL and Redis/Valkey (shared limits and fleet state), this is SQLite.",
                "Leave `workers` at 1.",
            )
        elif settings.redis_url is None:
            yield Contradiction(
                ("redis_url",),
                "several workers need Redis/Valkey for shared limits and fleet state, and `redis_url` is not set.",
                f"Set {PREFIX}REDIS_URL, or leave `workers` at 1.",
            )
    if settings.admin_token is None and not is_loopback(settings.host):
        yield Contradiction(
            ("host",),
            f"listening on {settings.host} would show the admin API to other machines, so `admin_token` must be set.",
            f"Set {PREFIX}ADMIN_TOKEN, or listen on 127.0.0.1.",
        )
    if settings.max_body_with_images < settings.max_body:
        yield Contradiction(
            ("max_body_with_images", "max_body"), "`max_body_with_images` must not be below `max_body`."
        )


def networks(texts: Iterable[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Of settings that hold networks, which are checked already."""
    return [ipaddress.ip_network(text) for text in texts]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`. Names other than localhost count as reachable."""
    if host.lower() in ("localhost", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
