"""Finds out, rarely, whether a stranger's answers come from any model at all. Pure: nonces and answers come in.

Honeypots list many famous models and say the same friendly words whatever is asked; echo servers say the question.
Small models fail at simple tasks, too, so that failing one proves nothing. What is taken for proof of a lie:

- an answer in the name of a model that cannot exist (an honest server says that it has none, without any work);
- the same words from two models to three questions with a different nonce each, and no nonce in any of them;
- the whole question, word for word, from two models to three such questions.

An honest server of Ollama's kind is asked for one short answer; one whose answers look canned, for two more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import ListedModel
from llm_gateway.names import canonical

HUGE: Final = 60e9
"""Parameters of a model that takes a machine of its own, at four bits each."""
MANY: Final = 3
"""Such models that hardly any stranger gives away at once."""
AGAIN: Final = 86_400.0
"""Seconds until a server that passed is tried again."""
TRIAL_TAKES: Final = 60.0
"""Seconds before the end of a caught server's rest from which on it is tried again."""
QUESTIONS: Final = 3
"""With a nonce each, at most."""
SHORT: Final = 24
"""Tokens of an answer in which a word can be repeated."""

_SIZE: Final = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)([bmkt])", re.IGNORECASE)
_FACTOR: Final = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_BEGINS, _VOWELS, _ENDS = "bdfgklmnprstvz", "aeiou", "klmnrstx"


def parameters(model: ListedModel) -> float:
    """How many it has, by what the server says and by its name (`8x22b`); 0 where neither tells."""
    tag = model.name.partition(":")[2].partition("-")[0]
    return max(_parameters(model.parameter_size or ""), _parameters(tag))


def _parameters(text: str) -> float:
    found = _SIZE.fullmatch(text)
    return int(found[1] or 1) * float(found[2]) * _FACTOR[found[3].lower()] if found else 0.0


def suspicious(trust: Trust, models: Sequence[ListedModel]) -> bool:
    """Does a stranger's server hold more huge models than can be believed? Those that run elsewhere (`:cloud`) and
    several sizes of file of one model (equal but for the tag) count once or not at all."""
    if trust is not Trust.PUBLIC or len(models) < MANY:
        return False
    huge = {m.name.partition(":")[0] for m in models if not m.name.endswith("cloud") and parameters(m) >= HUGE}
    return len(huge) >= MANY


def nonce(roll: float) -> str:
    """A word that no text holds by chance, by a roll in [0, 1): five syllables, of about 2^45."""
    number, syllables = int(roll * 2**53), []
    for _ in range(5):
        number, begin = divmod(number, len(_BEGINS))
        number, vowel = divmod(number, len(_VOWELS))
        number, end = divmod(number, len(_ENDS))
        syllables.append(_BEGINS[begin] + _VOWELS[vowel] + _ENDS[end])
    return "".join(syllables)


@dataclass(frozen=True, slots=True)
class Try:
    """One question of a trial."""

    model: str
    text: str
    nonce: str
    real: bool = True
    """False: no server can hold this model."""


class Trial:
    """One trial of one server. Ask what `next` says, tell what came of it, until `next` is None; then `lie` is what
    was proven, empty when nothing was, and None when it could not be finished."""

    def __init__(self, models: Sequence[str], nonces: Sequence[str], *, checks_names: bool) -> None:
        """`models`: the one that somebody wants, then others that are only asked when its answers look canned.
        `nonces`: four different ones. `checks_names`: servers of this kind know which models they hold."""
        self._models = models
        self._nonces = list(nonces)
        self._names = checks_names
        self._heard: list[tuple[Try, str]] = []
        self.lie: str | None = None
        self._over = False

    def next(self) -> Try | None:
        if self._over:
            return None
        made_up = self._nonces[-1]
        if self._names:
            return Try(f"{made_up}:7b", _question(made_up), made_up, real=False)
        number = len(self._heard)
        model = self._models[0] if number < QUESTIONS - 1 else self._models[1]
        return Try(model, _question(self._nonces[number]), self._nonces[number])

    def answered(self, asked: Try, text: str) -> None:
        """All that it said, thoughts included."""
        if not asked.real:
            if text.strip():
                self._end("it answered for a model that does not exist")
            self._names = False
            return
        self._heard.append((asked, " ".join(text.split())))
        kind = _canned(self._heard) or _echoed(self._heard)
        if not kind or len(self._models) < 2:
            self._end("")
        elif len(self._heard) == QUESTIONS:
            self._end(kind)

    def failed(self, asked: Try, fault: FaultKind) -> None:
        """No answer. A refusal is honest where the model does not exist; any other failure says nothing of lies."""
        if not asked.real:
            self._names = False
        elif fault is FaultKind.MODEL_MISSING and self._heard:
            self._end("")
        else:
            self._over = True

    def _end(self, lie: str) -> None:
        self._over, self.lie = True, lie


def _question(word: str) -> str:
    return f"Repeat the word {word} and say nothing else."


def _canned(heard: Sequence[tuple[Try, str]]) -> str:
    said = {text for _, text in heard}
    # cut at `SHORT` tokens or not: the same begin, without the word, from different models to different questions
    if len(said) == 1 and not any(asked.nonce in text.lower() for asked, text in heard):
        return "the same words whatever it was asked"
    return ""


def _echoed(heard: Sequence[tuple[Try, str]]) -> str:
    return "it said the questions back" if all(asked.text in text for asked, text in heard) else ""


def wanted_first(names: Sequence[str], wanted: str) -> list[str]:
    """The model that somebody wants, then the others."""
    first = canonical(wanted)
    return [name for name in names if canonical(name) == first] + [n for n in names if canonical(n) != first]
