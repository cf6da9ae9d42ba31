"""Everything that can go wrong, once.

Two trees. `GatewayError` is what a client is told; the edge renders it in the client's dialect:

    GatewayError
    ├── CallerError                    blame: caller
    │   ├── InvalidRequest        400  invalid_request          InvalidJson 400 invalid_json
    │   │                              UnsupportedParameter 400 unsupported_parameter
    │   │                              ContextLengthExceeded 400 context_length_exceeded
    │   │                              CapabilityMissing 400 capability_missing
    │   ├── InvalidKey            401  invalid_api_key          LoginFailed 401 login_failed
    │   ├── Forbidden             403  forbidden                ProjectDisabled 403 project_disabled
    │   │                              NoPermittedUpstream 403 no_permitted_upstream
    │   ├── NotFound              404  not_found                ModelNotFound 404 model_not_found
    │   ├── MethodNotAllowed      405  method_not_allowed       RequestTimeout 408 request_timeout
    │   ├── Conflict              409  conflict                 OwnedByFile 409 owned_by_config_file
    │   ├── BodyTooLarge          413  body_too_large           UnsupportedMediaType 415
    │   ├── HeadersTooLarge       431  headers_too_large
    │   └── RateLimited           429  rate_limit_exceeded      TooManyFailedKeys 429 too_many_failed_keys
    │                                                           TooManyLogins 429 too_many_failed_logins
    │                                                           QueueTimeout 429 queue_timeout
    │                                                           QueueFull 429 queue_full
    │                                                           ConcurrencyLimited 429 concurrency_limit_exceeded
    │                                                           TokensLimited 429 token_rate_limit_exceeded
    │                                                           BudgetExceeded 429 budget_exceeded
    │                                                           BudgetReserved 429 budget_reserved
    ├── UpstreamError                  blame: upstream
    │   ├── UpstreamFailed        502  upstream_error           StreamLost 502 upstream_stream_lost
    │   ├── NoHealthyUpstream     503  no_healthy_upstream      RetryBudgetExhausted 503 retry_budget_exhausted
    │   └── UpstreamTimeout       504  upstream_timeout
    └── GatewayFault                   blame: gateway
        ├── CancelledByOperator   499  cancelled_by_operator
        ├── InternalError         500  internal_error
        └── Unavailable           503  unavailable              DatabaseUnavailable 503 db_unavailable
                                                                DatabaseTooNew 503 db_too_new
                                                                ShuttingDown 503 server_shutting_down
                                                                LogUnavailable 503 log_unavailable
                                                                Overloaded 503 overloaded

`Fault` is what a *model server* did wrong. It never reaches a client: `fleet` decides what to do about it,
and only when nothing else is left does it become an `UpstreamError`, without the server's address.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final, Literal

Blame = Literal["caller", "upstream", "gateway"]

UNRESOLVED: Final = frozenset({"model_not_found", "no_permitted_upstream", "internal_error"})
"""Codes of requests whose model may be whatever the client wrote: figures do not keep it apart."""


class GatewayError(Exception):
    """What a client is told: a sentence for people, a `code` for programs, and whether trying again helps."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"
    """OpenAI's error type, the coarse class."""
    blame: ClassVar[Blame] = "gateway"
    retryable: bool = False
    """May trying again help? Of some errors it depends on the request."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The field of the request that is wrong, where there is one."""
        self.retry_after = retry_after
        """Seconds after which trying again may help; becomes `Retry-After`."""
        self.details = details or {}
        """More facts for programs, merged into the error object (e.g. `delivered_tokens`)."""
        self.headers: list[tuple[bytes, bytes]] = []
        """More response headers (the limits' figures of a 429)."""


class CallerError(GatewayError):
    status, code, type, blame = 400, "invalid_request", "invalid_request_error", "caller"


class InvalidRequest(CallerError):
    status, code = 400, "invalid_request"


class InvalidJson(InvalidRequest):
    code = "invalid_json"


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"


class CapabilityMissing(InvalidRequest):
    code = "capability_missing"


class InvalidKey(CallerError):
    status, code = 401, "invalid_api_key"


class LoginFailed(InvalidKey):
    code = "login_failed"


class Forbidden(CallerError):
    status, code, type = 403, "forbidden", "permission_error"


class ProjectDisabled(Forbidden):
    code = "project_disabled"


class NoPermittedUpstream(Forbidden):
    code = "no_permitted_upstream"


class NotFound(CallerError):
    status, code, type = 404, "not_found", "not_found_error"


class ModelNotFound(NotFound):
    code, type = "model_not_found", "invalid_request_error"


class MethodNotAllowed(CallerError):
    status, code = 405, "method_not_allowed"


class RequestTimeout(CallerError):
    status, code, retryable = 408, "request_timeout", True


class Conflict(CallerError):
    status, code = 409, "conflict"


class OwnedByFile(Conflict):
    code = "owned_by_config_file"


class BodyTooLarge(CallerError):
    status, code = 413, "body_too_large"


class UnsupportedMediaType(CallerError):
    status, code = 415, "unsupported_media_type"


class HeadersTooLarge(CallerError):
    status, code = 431, "headers_too_large"


class RateLimited(CallerError):
    status, code, type, retryable = 429, "rate_limit_exceeded", "requests", True

    limit: str = ""
    """Its name in `access.policy.LIMITS`, where it is one of the caller's own: then the refusal is counted and not
    logged."""


class ConcurrencyLimited(RateLimited):
    code = "concurrency_limit_exceeded"


class TokensLimited(RateLimited):
    code, type = "token_rate_limit_exceeded", "tokens"


class BudgetExceeded(RateLimited):
    """Of a day or month. Its type is the one that OpenAI's clients know for it."""

    code, type, retryable = "budget_exceeded", "insufficient_quota", False


class BudgetReserved(RateLimited):
    """There is something left, and requests under way may use it."""

    code, type = "budget_reserved", "tokens"


class TooManyFailedKeys(RateLimited):
    code = "too_many_failed_keys"


class TooManyLogins(RateLimited):
    code = "too_many_failed_logins"


class QueueTimeout(RateLimited):
    code = "queue_timeout"


class QueueFull(RateLimited):
    code = "queue_full"


class UpstreamError(GatewayError):
    status, code, type, blame, retryable = 502, "upstream_error", "server_error", "upstream", True


class UpstreamFailed(UpstreamError):
    pass


class StreamLost(UpstreamError):
    code = "upstream_stream_lost"


class NoHealthyUpstream(UpstreamError):
    status, code = 503, "no_healthy_upstream"


class RetryBudgetExhausted(UpstreamError):
    status, code = 503, "retry_budget_exhausted"


class UpstreamTimeout(UpstreamError):
    status, code = 504, "upstream_timeout"


class GatewayFault(GatewayError):
    pass


class InternalError(GatewayFault):
    pass


class CancelledByOperator(GatewayFault):
    """Not a 5xx: clients ask again by themselves after those, and somebody did not want this request to run."""

    status, code = 499, "cancelled_by_operator"


class Unavailable(GatewayFault):
    status, code, retryable = 503, "unavailable", True


class DatabaseUnavailable(Unavailable):
    code = "db_unavailable"


class DatabaseTooNew(Unavailable):
    code, retryable = "db_too_new", False


class LogUnavailable(Unavailable):
    code = "log_unavailable"


class Overloaded(Unavailable):
    code = "overloaded"


class ShuttingDown(Unavailable):
    code = "server_shutting_down"


def meant_by(cancellation: BaseException) -> GatewayError | None:
    """The error that a task was cancelled with, `task.cancel(error)`; None = it was cancelled without a word."""
    match cancellation.args:
        case (GatewayError() as error,):
            return error
    return None


class FaultKind(StrEnum):
    """How a model server failed us. `fleet` holds what each kind means for the server and for the request."""

    # nothing of the request was worked on
    NOT_PERMITTED = "not_permitted"
    """The address guard refused the destination: no packet was sent."""
    DNS = "dns"
    REFUSED = "refused"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    STALE = "stale"
    """A pooled connection turned out closed before any byte of the answer."""
    # the connection failed
    RESET = "reset"
    WRITE_TIMEOUT = "write_timeout"
    HEAD_TIMEOUT = "head_timeout"
    BAD_HTTP = "bad_http"
    TOO_LARGE = "too_large"
    ENCODED = "encoded"
    REDIRECT = "redirect"
    # the answer is not one
    NOT_THE_PROTOCOL = "not_the_protocol"
    """HTML, plain text, another API behind the port."""
    BAD_FRAME = "bad_frame"
    EMPTY = "empty"
    """A finished answer without content or tool call; `done_reason: load` counts as one."""
    WRONG_MODEL = "wrong_model"
    DIGEST_CHANGED = "digest_changed"
    """Between two looks at its list another model took the name, and no other server knows that one."""
    UNFIT = "unfit"
    """A tool call that does not fit: nobody offered it, or its arguments do not match. Vectors that are none, or not
    one for each text."""
    LOOP = "loop"
    """The same token for ever."""
    PROMPT_CUT = "prompt_cut"
    """A fluent answer to a part of the prompt, the rest of which did not fit the context."""
    # it stopped
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"
    STALLED = "stalled"
    TOTAL_TIMEOUT = "total_timeout"
    CUT = "cut"
    """The stream ended without its terminal marker."""
    # it said so
    AUTH = "auth"
    MODEL_MISSING = "model_missing"
    INCAPABLE = "incapable"
    """This server's model lacks tools, vision, thinking, …"""
    BUSY = "busy"
    OUT_OF_MEMORY = "out_of_memory"
    SERVER_ERROR = "server_error"
    CALLER = "caller"
    """A 4xx that another server would repeat: the request itself is wrong."""
    CONTEXT = "context"
    """The prompt is longer than the model's context."""


class Fault(Exception):
    """What a model server did wrong. `detail` is for logs and admins, never for clients."""

    def __init__(
        self,
        kind: FaultKind,
        detail: str = "",
        *,
        retry_after: float | None = None,
        said: str | None = None,
        lacks: str | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}" if detail else str(kind))
        self.kind = kind
        self.detail = detail[:500]
        self.retry_after = retry_after
        """Seconds, when the server sent `Retry-After`."""
        self.said = said
        """The server's own error text when it is about the caller's request (kinds CALLER and CONTEXT)."""
        self.lacks = lacks
        """Of kind INCAPABLE: what the model lacks there, by Ollama's names for capabilities; None = it does not say."""
