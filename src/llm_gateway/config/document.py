"""What the config file owns: servers, shared models, projects with their keys and models.

The fields below are the file's contract; the JSON Schema for editors is made from them. Secrets are never written
into the file: keys and upstream keys are named by the environment variable that holds them, or given as a hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model, model_validator

from llm_gateway.access.patterns import LONGEST, MOST_PATTERNS, mistake
from llm_gateway.access.policy import DEFAULT_TRUST, LIMITS, Price, Trust
from llm_gateway.config.alerts import AlertsEntry
from llm_gateway.config.fields import Name, SentVariable, Variable
from llm_gateway.errors import InvalidRequest
from llm_gateway.names import SHORTEST_PIN, mistaken_pin, pinned
from llm_gateway.settings import PREFIX, Section, wrong
from llm_gateway.wire.params import PARAMS, Param, check_param

_MAX_INT: Final = 2**31 - 1
_MAX_TOKENS: Final = 2**53


def _model_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*", text):
        raise wrong("must be letters, digits and . _ : / @ + - only, such as llama3.2:3b or law-assistant")
    return text


def _backend(text: str) -> str:
    if mistaken_pin(text):
        raise wrong(
            f"must end in the {SHORTEST_PIN} to 64 hexadecimal digits of a SHA-256 behind @sha256:",
            "`ollama list` and `llm-gateway models list` show digests.",
        )
    return text


def _unpinned(text: str) -> str:
    if pinned(text).digest is not None or mistaken_pin(text):
        raise wrong(
            "must be a name without a digest", "A server lists its digests itself; pin the `backend` of a model."
        )
    return text


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise wrong("must be 64 hexadecimal digits", "`printf %s KEY | sha256sum` prints them.")
    return text.lower()


def _moment(value: object) -> object:
    """An ISO 8601 text -> Unix seconds. A date alone means its beginning in UTC."""
    if not isinstance(value, str):
        raise wrong("must be a date such as 2027-01-31 or 2027-01-31T12:00:00Z")
    try:
        day = date.fromisoformat(value)
        return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise wrong("must be a date such as 2027-01-31 or 2027-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise wrong("must say its time zone, such as 2027-01-31T12:00:00Z")
    return moment.timestamp()


def _pattern(text: str) -> str:
    if why := mistake(text):
        raise wrong(why)
    return text


ModelName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_model_name)]
Backend = Annotated[ModelName, AfterValidator(_backend)]
Limit = Annotated[int, Field(ge=1, le=_MAX_INT)]
Tokens = Annotated[int, Field(ge=1, le=_MAX_TOKENS)]
Cost = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
Description = Annotated[str, Field(max_length=2000)]


def _checked(name: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        try:
            return check_param(name, value)
        except InvalidRequest as error:
            raise wrong(error.message.removeprefix(f"`{name}` ").removesuffix(".")) from None

    return check


def _param_field(name: str, param: Param) -> Any:
    if param.kind is list:
        shape: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    else:
        shape = {"type": "integer" if param.kind is int else "number", "minimum": param.low, "maximum": param.high}
    described = Field(default=None, description=f"Default for `{name}` where a request is silent.")
    return Annotated[Any, AfterValidator(_checked(name)), WithJsonSchema(shape)], described


Params: type[Section] = create_model(
    "Params", __base__=Section, **{name: _param_field(name, param) for name, param in PARAMS.items()}
)
"""Default parameters, one field for each row of `wire.params`."""


class ServerEntry(Section):
    name: Name = Field(description="What people call it.")
    url: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="Base address, http or https; for kind `openai` with its path, usually `/v1`."
    )
    kind: Literal["ollama", "openai"] = Field(
        description="The API it speaks: `ollama`, or `openai` for any compatible server."
    )
    trust: Trust = Field(description="Whose machine it is, so who sees the prompts: `own`, `partner` or `public`.")
    api_key_env: SentVariable | None = Field(
        default=None,
        description=f"Environment variable that holds the key it asks for: any but the gateway's own `{PREFIX}…`.",
    )
    max_concurrency: Limit | None = Field(
        default=None, description="Requests at the same time; absent: it is found out."
    )
    hedge: bool = Field(
        default=True,
        description="May it be asked beside another server, to be quicker, and for a few words to see if it works? "
        "Say false where every answer that is begun is paid for.",
    )
    models: tuple[Annotated[ModelName, AfterValidator(_unpinned)], ...] = Field(
        default=(), description="Models to believe in before the server was asked for its list."
    )

    @model_validator(mode="after")
    def _an_ollama_is_asked_without_v1(self) -> ServerEntry:
        if self.kind == "ollama" and self.url.rstrip("/").endswith("/v1"):
            raise wrong("has kind `ollama` and a `url` that ends in /v1", "Leave /v1 out, or say `kind: openai`.")
        return self


class PriceEntry(Section):
    input: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = Field(
        default=0.0, description="Of a million tokens of prompts."
    )
    output: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = Field(
        default=0.0, description="Of a million tokens of answers."
    )


class ModelEntry(Section):
    name: ModelName = Field(description="The name that clients ask for. It may equal a physical one.")
    backend: tuple[Backend, ...] = Field(
        min_length=1,
        max_length=50,
        description="Physical models behind it, in order of preference. One that ends in `@sha256:` and 12 to 64 "
        "digits is only asked of servers that list a digest which begins so.",
    )
    description: Description = Field(default="", description="Shown in the list of models.")
    params: Params = Field(  # type: ignore[valid-type]  # made by create_model from the table of parameters
        default_factory=Params, description="Default parameters; a request's own win."
    )

    price: PriceEntry | None = Field(
        default=None, description="What its tokens cost, in any unit you count in; absent: nothing."
    )

    def given_price(self) -> Price | None:
        return None if self.price is None else Price(self.price.input, self.price.output)

    def given_params(self) -> dict[str, Any]:
        """The parameters that were written, in their canonical types."""
        given: dict[str, Any] = self.params.model_dump(exclude_unset=True)  # type: ignore[attr-defined]  # as above
        return given


class Limited(Section):
    """What a project or one of its keys may use; each absent one means unlimited."""

    rate_limit_per_minute: Limit | None = Field(default=None, description="Requests per minute; absent: unlimited.")
    tokens_per_minute: Tokens | None = Field(
        default=None, description="Tokens per minute, prompts and answers together; absent: unlimited."
    )
    max_concurrency: Limit | None = Field(default=None, description="Requests at the same time; absent: unlimited.")
    daily_tokens: Tokens | None = Field(default=None, description="Tokens per day (UTC); absent: unlimited.")
    monthly_tokens: Tokens | None = Field(
        default=None, description="Tokens per calendar month (UTC); absent: unlimited."
    )
    daily_cost: Cost | None = Field(
        default=None, description="Cost per day (UTC), in the unit of the prices; absent: unlimited."
    )
    monthly_cost: Cost | None = Field(default=None, description="Cost per calendar month (UTC); absent: unlimited.")

    def limits(self) -> dict[str, Any]:
        """By the names of `access.policy.LIMITS`."""
        return {name: getattr(self, name) for name in LIMITS}


class KeyEntry(Limited):
    name: Name = Field(description="What people call it, unique within the project.")
    value_env: Variable | None = Field(default=None, description="Environment variable that holds the key.")
    sha256: Annotated[str, AfterValidator(_sha256)] | None = Field(
        default=None, repr=False, description="Or the SHA-256 of the key, in hexadecimal."
    )
    expires_at: Annotated[
        float | None,
        BeforeValidator(_moment),
        WithJsonSchema({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}),
    ] = Field(default=None, description="Date or time with zone after which it is refused.")

    @model_validator(mode="after")
    def _one_of_two(self) -> KeyEntry:
        if (self.value_env is None) == (self.sha256 is None):
            raise wrong("must have either `value_env` or `sha256`", "A key itself is never written into the file.")
        return self


class ProjectEntry(Limited):
    name: Name = Field(description="Unique name.")
    description: Description = Field(default="", description="What it is for.")
    trust: tuple[Trust, ...] = Field(
        default=tuple(sorted(DEFAULT_TRUST)),
        min_length=1,
        description="Who may see this project's prompts: any of `own`, `partner`, `public`.",
    )
    public_tools: bool = Field(default=False, description="May requests with tools use public servers?")
    store_payloads: bool = Field(
        default=False, description="Keep prompts and answers, redacted, for people to look at."
    )
    payload_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        default=None, description="Days that they are kept; absent: as `retention.payload_days` says."
    )
    redact: tuple[Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_pattern)], ...] = Field(
        default=(),
        max_length=MOST_PATTERNS,
        description="Regular expressions of what is taken out of them besides keys, e-mail addresses, phone numbers, "
        "IBANs and card numbers.",
    )
    allowed_models: tuple[Backend, ...] = Field(
        default=(), description="Logical or physical names; absent or empty: all that its trust classes reach."
    )
    keys: tuple[KeyEntry, ...] = Field(default=(), description="API keys of the project.")
    models: tuple[ModelEntry, ...] = Field(default=(), description="Its own models; they win over shared ones.")


class Document(Section):
    """The objects of a config file."""

    servers: tuple[ServerEntry, ...] = Field(default=(), description="Model servers besides those of the sources.")
    models: tuple[ModelEntry, ...] = Field(
        default=(), description="Models shared by all projects; a project's own name wins."
    )
    projects: tuple[ProjectEntry, ...] = Field(default=(), description="Projects with their keys, limits and models.")
    alerts: AlertsEntry = Field(default=AlertsEntry(), description="What is watched, and who is told.")
