"""What the config file says of alerts: rules in a short form of their own, and the webhooks that hear of them.

A rule without `when` changes the built-in one of its name. Addresses and secrets may be named by the environment
variables that hold them: whoever knows the address of a chat's webhook may write into that chat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model, model_validator

from llm_gateway.alerts.plan import REPEAT, Format, Plan, Webhook
from llm_gateway.alerts.rules import (
    BUILT_IN,
    LONGEST_HOLD,
    LONGEST_WINDOW,
    METRICS,
    SHORTEST_WINDOW,
    Comparison,
    Rule,
)
from llm_gateway.config.fields import Name, SentVariable
from llm_gateway.config.mistakes import did_you_mean
from llm_gateway.settings import Section, wrong

_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhd])")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_WHEN: Final = re.compile(r"\s*([A-Za-z0-9_]{1,60})\s*(>=|<=|>|<)\s*(-?\d{1,18}(?:\.\d{1,9})?)\s*(%?)\s*")
_RULE_NAME: Final = r"[a-z][a-z0-9_]{0,59}"
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
OWN_HEADERS: Final = frozenset(
    {"host", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "connection", "keep-alive"}
    | {"transfer-encoding", "te", "trailer", "upgrade", "expect", "x-gateway-signature"}
)
"""What the gateway itself writes."""
MOST_SHARE: Final = 2.0
"""A budget that was lowered may be used up twice; `error_share > 5` wants a %."""


def _span(value: object) -> object:
    """Seconds, of a number or of a text such as `5m`."""
    if isinstance(value, str):
        found = _SPAN.fullmatch(value.strip())
        if found is None:
            raise wrong("must be a time such as 90s, 5m, 2h or 1d")
        return float(found[1]) * _UNITS[found[2]]
    return value


def _rule_name(text: str) -> str:
    if not re.fullmatch(_RULE_NAME, text):
        raise wrong("must be small letters, digits and _ only, and begin with a letter")
    return text


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise wrong("must name headers by letters, digits and - only")
    if text.lower() in OWN_HEADERS:
        raise wrong(f"names {text}, which the gateway writes itself")
    return text


def _when(text: str) -> str:
    condition(text)
    return text


def condition(text: str) -> tuple[str, Comparison, float]:
    """`error_share > 5%` -> metric, comparison, threshold."""
    found = _WHEN.fullmatch(text)
    if found is None:
        raise wrong("must be a metric, a comparison and a number, such as `error_share > 5%`")
    name, comparison, number, percent = found.groups()
    if name not in METRICS:
        hint = did_you_mean(name, METRICS) or f"There are: {', '.join(METRICS)}."
        raise wrong(f"names {name[:60]!r}, which is no metric", hint)
    share = METRICS[name].unit == "share"
    if percent and not share:
        raise wrong(f"has a %, but `{name}` is no share")
    threshold = float(number) / (100 if percent else 1)
    if share and not 0 <= threshold <= MOST_SHARE:
        hint = f"Did you mean `{name} {comparison} {number}%`?" if not percent and 0 <= float(number) <= 100 else ""
        raise wrong(f"compares a share with {threshold * 100:g} %", hint)
    return name, cast("Comparison", comparison), threshold


def _within(least: float, most: float, said: str) -> AfterValidator:
    def check(seconds: float) -> float:
        if not least <= seconds <= most:  # written so that NaN, which is neither, is refused as well
            raise wrong(f"must be {said}")
        return seconds

    return AfterValidator(check)


Span = Annotated[
    float,
    BeforeValidator(_span),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_SPAN.pattern}$"}]}),
]
Window = Annotated[Span, _within(SHORTEST_WINDOW, LONGEST_WINDOW, "from 1m to 1d")]
Hold = Annotated[Span, _within(0, LONGEST_HOLD, "at most 1d")]
Repeat = Annotated[Span, _within(60, 30 * 86_400, "from 1m to 30d")]
RuleName = Annotated[str, AfterValidator(_rule_name)]


class RuleFields(Section):
    name: RuleName = Field(description="What it is called; one of the built-in ones replaces that one.")
    enabled: bool = Field(default=True, description="Say false to turn a built-in one off.")
    when: Annotated[str, AfterValidator(_when)] | None = Field(
        default=None, description="A metric, a comparison and a number: `error_share > 5%`."
    )
    over: Window | None = Field(default=None, description="Time that is summed up, from 1m to 1d; absent: 5m.")
    project: Name | None = Field(default=None, description="Only of this project.")
    model: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        default=None, description="Only of this model, by the name that clients ask for."
    )
    each: Literal["project", "model"] | None = Field(
        default=None, description="An alert for each project or model by itself; absent: one for all together."
    )
    severity: Literal["info", "warning", "critical"] | None = Field(
        default=None, description="How bad it is; absent: `warning`."
    )
    min_requests: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="Requests within the time without which shares and percentiles mean nothing; 10."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> RuleFields:
        if self.when is None and self.name not in BUILT_IN:
            raise wrong("has no `when`", did_you_mean(self.name, BUILT_IN) or "Only built-in rules may leave it out.")
        name = self.rule().metric
        metric = METRICS[name]
        for scope in ("project", "model"):
            if getattr(self, scope) is not None and scope not in metric.scopes:
                raise wrong(f"has `{scope}`, which `{name}` does not know")
        if self.over is not None and not metric.windowed:
            raise wrong(f"has `over`, but `{name}` is not summed up over a time")
        if self.each is not None and metric.source != "usage":
            raise wrong(f"has `each`, but `{name}` has an alert for each already, or none")
        return self

    def rule(self) -> Rule:
        """Without `when`: the built-in one with the changes."""
        given: dict[str, Any] = {
            "over": self.over,
            "hold": getattr(self, "for"),
            "project": self.project,
            "model": self.model,
            "each": self.each,
            "severity": self.severity,
            "min_requests": self.min_requests,
        }
        changes = {field: value for field, value in given.items() if value is not None}
        if self.when is None:
            return replace(BUILT_IN[self.name], **changes)
        return Rule(self.name, *condition(self.when), **changes)


RuleEntry: type[RuleFields] = create_model(
    "RuleEntry",
    __base__=RuleFields,
    **{"for": (Hold | None, Field(default=None, description="Time that it must be so before it fires; absent: none."))},  # type: ignore[call-overload]  # `for` is a word of Python's
)


class WebhookEntry(Section):
    name: Name = Field(description="What people call it.")
    url: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(
        default=None, repr=False, description="Where it is, http or https. The rules for servers' addresses hold."
    )
    url_env: SentVariable | None = Field(
        default=None, description="Or the environment variable that holds that, where the address is a secret."
    )
    format: Format = Field(default="json", description="`json`: all there is; `slack`: a sentence, for chats.")
    secret_env: SentVariable | None = Field(
        default=None, description="Environment variable with the secret that signs what is sent."
    )
    headers_env: dict[Annotated[str, AfterValidator(_header)], SentVariable] = Field(
        default_factory=dict, max_length=10, description="Header -> environment variable with its value."
    )
    rules: tuple[RuleName, ...] | None = Field(default=None, description="Only these rules; absent: all.")

    @model_validator(mode="after")
    def _one_address(self) -> WebhookEntry:
        if (self.url is None) == (self.url_env is None):
            raise wrong("must have either `url` or `url_env`")
        return self

    def webhook(self, environ: Mapping[str, str]) -> Webhook:
        return Webhook(
            self.name,
            self.url if self.url is not None else environ.get(self.url_env or "", ""),
            self.format,
            tuple((header, environ.get(variable, "")) for header, variable in self.headers_env.items()),
            environ.get(self.secret_env) if self.secret_env is not None else None,
            frozenset(self.rules) if self.rules is not None else None,
        )


class AlertsEntry(Section):
    webhooks: tuple[WebhookEntry, ...] = Field(default=(), max_length=20, description="Who is told.")
    rules: tuple[RuleEntry, ...] = Field(  # type: ignore[valid-type]  # made by create_model
        default=(), max_length=100, description="What is watched besides the built-in rules, and changes to those."
    )
    repeat: Repeat = Field(default=REPEAT, description="Time after which people are reminded of what still fires.")

    def plan(self, environ: Mapping[str, str]) -> Plan:
        """What is watched and who is told. `environ`: where the variables are looked up."""
        rules = dict(BUILT_IN)
        for entry in cast("tuple[RuleFields, ...]", self.rules):
            rules.pop(entry.name, None)
            if entry.enabled:
                rules[entry.name] = entry.rule()
        return Plan(tuple(rules.values()), tuple(hook.webhook(environ) for hook in self.webhooks), self.repeat)
