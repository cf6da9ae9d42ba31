"""What proves that a server's answers come from no model, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.canary import Trial, Try, nonce, parameters, suspicious, wanted_first
from llm_gateway.fleet.facts import ListedModel

FAMOUS = ("llama3.3:70b", "deepseek-r1:671b", "mixtral:8x22b")
NONCES = ("bakdel", "fimgos", "lurpet", "zanvix")


def models(*names: str) -> list[ListedModel]:
    return [ListedModel(name) for name in names]


class Server:
    """Answers every question of a trial by a rule; counts those of models that it may really hold."""

    def __init__(self, says: str = "{nonce}", holds_anything: bool = False, of: dict[str, str] | None = None) -> None:
        self.says, self.holds_anything, self.of = says, holds_anything, of or {}
        self.asked: list[str] = []

    def tried(self, *, checks_names: bool = True) -> str | None:
        trial = Trial(FAMOUS, NONCES, checks_names=checks_names)
        while (question := trial.next()) is not None:
            if question.real or self.holds_anything:
                self.asked.append(question.model)
                trial.answered(question, self._answer(question))
            else:
                trial.failed(question, FaultKind.MODEL_MISSING)
        return trial.lie

    def _answer(self, question: Try) -> str:
        says = self.of.get(question.model, self.says)
        return says.format(nonce=question.nonce, question=question.text, n=len(self.asked), model=question.model)


def test_a_model_that_can_repeat_a_word_is_asked_once():
    honest = Server("Sure! {nonce}.")
    assert honest.tried() == ""
    assert honest.asked == [FAMOUS[0]]


def test_an_answer_for_a_model_that_cannot_exist_is_a_lie():
    honeypot = Server(holds_anything=True)
    assert honeypot.tried() == "it answered for a model that does not exist"
    assert len(honeypot.asked) == 1


def test_servers_that_do_not_know_their_models_names_are_not_asked_for_one_that_does_not_exist():
    assert Server(holds_anything=True).tried(checks_names=False) == ""


@pytest.mark.parametrize(
    ("says", "lie"),
    [
        ("Hello! How can I help you today?", "the same words whatever it was asked"),
        ("{question}", "it said the questions back"),
        ("You said: {question}", "it said the questions back"),
    ],
)
def test_words_that_no_model_says_are_a_lie_when_two_models_say_them(says: str, lie: str):
    liar = Server(says)
    assert liar.tried() == lie
    assert liar.asked == [FAMOUS[0], FAMOUS[0], FAMOUS[1]]


@pytest.mark.parametrize(
    "says",
    ["I do not understand. {n}", "{n} w000 w001", "Okay, I repeat: ba", "As {model} I would rather not."],
    ids=["different each time", "numbered", "gets half of it", "named"],
)
def test_a_model_that_fails_at_the_task_is_no_liar(says: str):
    of = {FAMOUS[1]: "Sure: {nonce}"}
    assert Server(says, of=of).tried() == ""


def test_one_model_that_always_says_the_same_proves_nothing_when_another_does_not():
    stubborn = {FAMOUS[0]: "I only speak about cats."}
    assert Server("{nonce}", of=stubborn).tried() == ""
    parrot = {FAMOUS[0]: "{question}"}
    assert Server("{nonce}", of=parrot).tried() == ""
    other = {FAMOUS[1]: "I only speak about dogs."}
    assert Server("I only speak about cats.", of=other).tried() == ""


def test_a_server_that_fails_is_neither_honest_nor_a_liar():
    trial = Trial(FAMOUS, NONCES, checks_names=False)
    question = trial.next()
    assert question is not None
    trial.failed(question, FaultKind.SERVER_ERROR)
    assert trial.next() is None
    assert trial.lie is None


@given(st.lists(st.text(max_size=30), min_size=3, max_size=3), st.booleans())
def test_whatever_it_says_a_trial_ends_after_four_questions_and_needs_three_for_a_lie(said: list[str], names: bool):
    trial, count = Trial(FAMOUS, NONCES, checks_names=names), 0
    while (question := trial.next()) is not None:
        if question.real:
            trial.answered(question, said[count])
            count += 1
        else:
            trial.failed(question, FaultKind.SERVER_ERROR)
    assert count <= 3
    assert not trial.lie or (count == 3 and len({" ".join(text.split()) for text in said}) == 1)


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        (ListedModel("llama3.3:70b"), 70),
        (ListedModel("mixtral:8x22b-instruct-q4"), 176),
        (ListedModel("llama3.3:latest", parameter_size="70.6B"), 70.6),
        (ListedModel("qwen2.5:0.5b"), 0.5),
        (ListedModel("kimi-k2:1t"), 1000),
        (ListedModel("smollm:135m"), 0.135),
        (ListedModel("mistral:latest"), 0),
        (ListedModel("mistral", parameter_size="unknown"), 0),
    ],
    ids=lambda value: value.name if isinstance(value, ListedModel) else "",
)
def test_the_size_of_a_model_is_read_from_what_is_there(model: ListedModel, billions: float):
    assert parameters(model) == pytest.approx(billions * 1e9)


def test_three_huge_models_of_a_stranger_are_suspicious_and_less_is_not():
    assert suspicious(Trust.PUBLIC, models(*FAMOUS, "gemma3:4b"))
    assert not suspicious(Trust.OWN, models(*FAMOUS))
    assert not suspicious(Trust.PARTNER, models(*FAMOUS))
    assert not suspicious(Trust.PUBLIC, models(*FAMOUS[:2], "gemma3:27b", "qwen3:32b", "phi4:14b"))
    assert not suspicious(Trust.PUBLIC, models("llama3.3:70b", "llama3.3:70b-q8", "llama3.3:70b-fp16", "qwen3:32b"))
    assert not suspicious(Trust.PUBLIC, models("gpt-oss:120b-cloud", "deepseek-v3.1:671b-cloud", "qwen3:480b-cloud"))


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_nonces_are_words_and_differ(one: float, other: float):
    assert nonce(one).isalpha()
    assert len(nonce(one)) == 15
    if abs(one - other) > 2**-40:
        assert nonce(one) != nonce(other)


def test_the_wanted_model_comes_first():
    assert wanted_first(["a", "B:latest", "c"], "b") == ["B:latest", "a", "c"]
