"""LangChain's chat models over the three APIs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar

os.environ["LANGSMITH_TRACING"] = "false"  # nothing may leave this machine

from client import Ask, Client, Said
from langchain_anthropic import ChatAnthropic
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

NO_LIST = "client limit: LangChain lists no models"
NO_EMBEDDINGS = "client limit: Anthropic's API has no embeddings"
FINISHES = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def messages(ask: Ask) -> list[BaseMessage]:
    made: list[BaseMessage] = []
    for message in ask.messages:
        if message["role"] == "tool":
            made.append(ToolMessage(message["content"], tool_call_id=message["tool_call_id"], name=message["name"]))
        elif message["role"] == "assistant":
            calls: Any = [
                {"name": c["function"]["name"], "args": json.loads(c["function"]["arguments"]), "id": c["id"]}
                for c in message.get("tool_calls", ())
            ]
            made.append(AIMessage(message["content"] or "", tool_calls=calls))
        else:
            made.append(HumanMessage(message["content"]))
    return made


class LangChain(Client):
    """What the three have in common: everything but how they are made."""

    lists = None
    limits: ClassVar[Mapping[str, str]] = {"list": NO_LIST}

    def _model(self, ask: Ask) -> BaseChatModel:
        raise NotImplementedError

    def _embeddings(self) -> Embeddings:
        raise NotImplementedError

    async def chat(self, ask: Ask) -> Said:
        model = self._model(ask)
        if ask.schema is not None:
            titled = {"title": "answer", "description": "The answer", **ask.schema}
            found = await model.with_structured_output(titled, method="json_schema").ainvoke(messages(ask))
            return Said(json.dumps(found), finish="stop")
        runnable: Any = model.bind_tools(list(ask.tools)) if ask.tools else model
        return seen(await runnable.ainvoke(messages(ask)))

    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        said, together = Said(), None
        model = self._model(ask)
        runnable: Any = model.bind_tools(list(ask.tools)) if ask.tools else model
        stream = runnable.astream(messages(ask))
        try:
            async for chunk in stream:
                together = chunk if together is None else together + chunk
                if chunk.text:
                    said.pieces += 1
                    said.text += chunk.text
                if leave_after is not None and said.pieces >= leave_after:
                    await stream.aclose()
                    return said
        except Exception as error:
            if not said.pieces:
                raise
            said.error = error
            return said
        assert together is not None
        last = seen(together)
        last.pieces = said.pieces
        return last

    async def embed(self, texts: list[str]) -> list[list[float]]:
        return await self._embeddings().aembed_documents(texts)


def seen(message: Any) -> Said:
    about = message.response_metadata
    finish = about.get("finish_reason") or about.get("done_reason") or about.get("stop_reason")
    calls = [(call["name"], call["args"], call["id"] or "") for call in message.tool_calls]
    thinking = "".join(b.get("reasoning", "") for b in message.content_blocks if b["type"] == "reasoning")
    usage = message.usage_metadata
    finish = "tool_calls" if calls and finish == "stop" else FINISHES.get(finish, finish)
    return Said(message.text, thinking, calls, finish, usage["output_tokens"] if usage else None)


class LangChainOpenAI(LangChain):
    name = "langchain-openai"
    chats = "/v1/chat/completions"
    embeds = "/v1/embeddings"
    limits: ClassVar[Mapping[str, str]] = {
        "list": NO_LIST,
        "thinking": "client limit: ChatOpenAI drops `reasoning`, which is not of OpenAI's own API",
    }
    unknown_model = "openai.NotFoundError"
    bad_key = "openai.AuthenticationError"
    lost = "openai.APIError"

    def _model(self, ask: Ask) -> BaseChatModel:
        return ChatOpenAI(
            model=ask.model, base_url=f"{self.url}/v1", api_key=self.key, default_headers=self.headers,  # type: ignore[arg-type]
            max_retries=0, max_completion_tokens=ask.max_tokens, stream_usage=True,
        )  # fmt: skip

    def _embeddings(self) -> Embeddings:
        return OpenAIEmbeddings(
            model="embed", base_url=f"{self.url}/v1", api_key=self.key, check_embedding_ctx_length=False, max_retries=0,  # type: ignore[arg-type]
        )  # fmt: skip


class LangChainOllama(LangChain):
    name = "langchain-ollama"
    chats = "/api/chat"
    embeds = "/api/embed"
    unknown_model = "ollama.ResponseError"
    bad_key = "ollama.ResponseError"
    lost = "ollama.ResponseError"

    def _about(self) -> dict[str, Any]:
        return {"headers": {"Authorization": f"Bearer {self.key}", **self.headers}}

    def _model(self, ask: Ask) -> BaseChatModel:
        return ChatOllama(
            model=ask.model, base_url=self.url, client_kwargs=self._about(), num_predict=ask.max_tokens,
            reasoning=True if ask.think else None,
        )  # fmt: skip

    def _embeddings(self) -> Embeddings:
        return OllamaEmbeddings(model="embed", base_url=self.url, client_kwargs=self._about())


class LangChainAnthropic(LangChain):
    name = "langchain-anthropic"
    chats = "/v1/messages"
    limits: ClassVar[Mapping[str, str]] = {
        "list": NO_LIST,
        "embeddings": "client limit: Anthropic's API has no embeddings",
    }
    unknown_model = "anthropic.NotFoundError"
    bad_key = "anthropic.AuthenticationError"
    lost = "anthropic.APIStatusError"

    def _model(self, ask: Ask) -> BaseChatModel:
        think: Any = {"thinking": {"type": "enabled", "budget_tokens": 1_024}} if ask.think else {}
        return ChatAnthropic(
            model_name=ask.model, base_url=self.url, api_key=self.key, default_headers=self.headers, max_retries=0,  # type: ignore[arg-type]
            max_tokens_to_sample=ask.max_tokens, timeout=None, stop=None, **think,
        )  # fmt: skip
