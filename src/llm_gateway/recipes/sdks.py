"""Recipes of libraries and of plain HTTP: environment variables, and a program that says the answer."""

from __future__ import annotations

from typing import Final

from llm_gateway.recipes.recipe import Part, Recipe

_CHAT: Final = "/v1/chat/completions"
_MODELS: Final = "/v1/models"

OPENAI_VARIABLES: Final = "export OPENAI_BASE_URL=«BASE/v1»\nexport OPENAI_API_KEY=«KEY»"
ANTHROPIC_VARIABLES: Final = "export ANTHROPIC_BASE_URL=«BASE»\nexport ANTHROPIC_API_KEY=«KEY»"
OLLAMA_VARIABLES: Final = "export OLLAMA_HOST=«BASE»\nexport OLLAMA_API_KEY=«KEY»"
_SET: Final = "Set where your program runs:"
_IMPLICIT: Final = "The client reads both variables by itself:"


def _program(template: str, *, says: str = _IMPLICIT) -> Part:
    return Part(says, "python", template, runs=True)


SDKS: Final[tuple[Recipe, ...]] = (
    Recipe(
        "curl",
        "curl, and plain HTTP",
        (_CHAT, _MODELS),
        (
            Part("Which models there are:", "sh", "curl «BASE/v1/models» -H «X-API-Key: KEY»", runs=True),
            Part(
                "A question:",
                "sh",
                "curl «BASE/v1/chat/completions» \\\n  -H «X-API-Key: KEY» -H 'Content-Type: application/json' \\\n"
                "  -d @- <<'END'\n"
                '{"model": «json:MODEL», "messages": [{"role": "user", "content": "Hola"}]}\nEND',
                runs=True,
            ),
        ),
        "`«BASE/v1/…»`, header `X-API-Key`",
        ("`Authorization: Bearer KEY` and `api-key: KEY` do as well.",),
    ),
    Recipe(
        "openai-python",
        "OpenAI SDK for Python",
        (_CHAT, "/v1/responses", "/v1/completions", "/v1/embeddings", _MODELS),
        (
            Part(_SET, "sh", OPENAI_VARIABLES, runs=True),
            _program(
                "from openai import OpenAI\n\nclient = OpenAI()\nanswer = client.chat.completions.create(\n"
                '    model=«MODEL»,\n    messages=[{"role": "user", "content": "Hola"}],\n)\n'
                "print(answer.choices[0].message.content)"
            ),
        ),
        "`OPENAI_BASE_URL=«BASE/v1»`, `OPENAI_API_KEY`",
        packages=("openai",),
    ),
    Recipe(
        "openai-js",
        "OpenAI SDK for JavaScript",
        (_CHAT, "/v1/responses", "/v1/completions", "/v1/embeddings", _MODELS),
        (
            Part(_SET, "sh", OPENAI_VARIABLES, runs=True),
            Part(
                _IMPLICIT,
                "js",
                'import OpenAI from "openai";\n\nconst client = new OpenAI();\n'
                "const answer = await client.chat.completions.create({\n  model: «MODEL»,\n"
                '  messages: [{ role: "user", content: "Hola" }],\n});\n'
                "console.log(answer.choices[0].message.content);",
                runs=True,
            ),
        ),
        "`OPENAI_BASE_URL=«BASE/v1»`, `OPENAI_API_KEY`",
    ),
    Recipe(
        "anthropic-python",
        "Anthropic SDK for Python",
        ("/v1/messages", "/v1/messages/count_tokens", _MODELS),
        (
            Part(_SET, "sh", ANTHROPIC_VARIABLES, runs=True),
            _program(
                "from anthropic import Anthropic\n\nclient = Anthropic()\nanswer = client.messages.create(\n"
                '    model=«MODEL»,\n    max_tokens=1000,\n    messages=[{"role": "user", "content": "Hola"}],\n)\n'
                'print("".join(block.text for block in answer.content if block.type == "text"))'
            ),
        ),
        "`ANTHROPIC_BASE_URL=«BASE»` (without `/v1`), `ANTHROPIC_API_KEY`",
        packages=("anthropic",),
    ),
    Recipe(
        "ollama",
        "Ollama SDK and command",
        ("/api/chat", "/api/generate", "/api/embed", "/api/tags", "/api/show", "/api/ps", "/api/version"),
        (
            Part(_SET, "sh", OLLAMA_VARIABLES, runs=True),
            _program(
                "from ollama import chat\n\n"
                'answer = chat(model=«MODEL», messages=[{"role": "user", "content": "Hola"}])\n'
                "print(answer.message.content)"
            ),
            Part(
                "The `ollama` command sends a key to nobody but ollama.com. Where the gateway's setting `keys_in_urls` "
                "is true, it may be in the address:",
                "sh",
                "OLLAMA_HOST=«BASE/k/KEY» ollama run «MODEL»",
            ),
        ),
        "`OLLAMA_HOST=«BASE»` (without `/api`), `OLLAMA_API_KEY`",
        (
            "The SDK for Python sends `OLLAMA_API_KEY`. With the SDK for JavaScript give it as a header: "
            "`new Ollama({ host, headers: { Authorization: 'Bearer …' } })`.",
            "Models are managed on the servers: `pull`, `push`, `create`, `copy` and `delete` are refused.",
        ),
        packages=("ollama",),
    ),
    Recipe(
        "langchain-openai",
        "LangChain, `ChatOpenAI`",
        (_CHAT, "/v1/embeddings"),
        (
            Part(_SET, "sh", OPENAI_VARIABLES, runs=True),
            _program(
                "import os\n\nfrom langchain_openai import ChatOpenAI\n\nmodel = ChatOpenAI(\n    model=«MODEL»,\n"
                '    base_url=os.environ["OPENAI_BASE_URL"],\n    api_key=os.environ["OPENAI_API_KEY"],\n)\n'
                'print(model.invoke("Hola").content)',
                says="Then:",
            ),
        ),
        '`ChatOpenAI(base_url="«BASE/v1»", api_key=…)`',
        packages=("langchain_openai",),
    ),
    Recipe(
        "langchain-anthropic",
        "LangChain, `ChatAnthropic`",
        ("/v1/messages",),
        (
            Part(_SET, "sh", ANTHROPIC_VARIABLES, runs=True),
            _program(
                "import os\n\nfrom langchain_anthropic import ChatAnthropic\n\nmodel = ChatAnthropic(\n"
                "    model=«MODEL»,\n    max_tokens=1000,\n"
                '    base_url=os.environ["ANTHROPIC_BASE_URL"],\n    api_key=os.environ["ANTHROPIC_API_KEY"],\n)\n'
                'print(model.invoke("Hola").content)',
                says="Then:",
            ),
        ),
        '`ChatAnthropic(base_url="«BASE»", api_key=…)`',
        packages=("langchain_anthropic",),
    ),
    Recipe(
        "langchain-ollama",
        "LangChain, `ChatOllama`",
        ("/api/chat", "/api/embed"),
        (
            Part(_SET, "sh", OLLAMA_VARIABLES, runs=True),
            _program(
                "import os\n\nfrom langchain_ollama import ChatOllama\n\nmodel = ChatOllama(\n    model=«MODEL»,\n"
                '    base_url=os.environ["OLLAMA_HOST"],\n'
                '    client_kwargs={"headers": {"Authorization": "Bearer " + os.environ["OLLAMA_API_KEY"]}},\n)\n'
                'print(model.invoke("Hola").content)',
                says="Then:",
            ),
        ),
        '`ChatOllama(base_url="«BASE»", client_kwargs={"headers": …})`',
        packages=("langchain_ollama",),
    ),
    Recipe(
        "llamaindex",
        "LlamaIndex, `OpenAILike`",
        (_CHAT,),
        (
            Part(_SET, "sh", OPENAI_VARIABLES, runs=True),
            _program(
                "import os\n\nfrom llama_index.core.llms import ChatMessage\n"
                "from llama_index.llms.openai_like import OpenAILike\n\nmodel = OpenAILike(\n    model=«MODEL»,\n"
                '    api_base=os.environ["OPENAI_BASE_URL"],\n    api_key=os.environ["OPENAI_API_KEY"],\n'
                "    is_chat_model=True,\n    context_window=«#CONTEXT»,\n)\n"
                'print(model.chat([ChatMessage(role="user", content="Hola")]).message.content)',
                says="Then:",
            ),
        ),
        '`OpenAILike(api_base="«BASE/v1»", api_key=…, is_chat_model=True)`',
        (
            "Without `is_chat_model` it asks `/v1/completions`; without `context_window` it keeps to 3,900 tokens.",
            "For agents add `is_function_calling_model=True`, with a model that has tools.",
        ),
        packages=("llama_index.llms.openai_like",),
    ),
    Recipe(
        "litellm",
        "LiteLLM as a library",
        (_CHAT, "/v1/embeddings"),
        (
            Part(_SET, "sh", OPENAI_VARIABLES, runs=True),
            _program(
                "import os\n\nimport litellm\n\nanswer = litellm.completion(\n    model=«openai/MODEL»,\n"
                '    api_base=os.environ["OPENAI_BASE_URL"],\n    api_key=os.environ["OPENAI_API_KEY"],\n'
                '    messages=[{"role": "user", "content": "Hola"}],\n)\n'
                "print(answer.choices[0].message.content)",
                says="The prefix `openai/` chooses the protocol; the gateway gets the name without it:",
            ),
        ),
        '`completion("openai/NAME", api_base="«BASE/v1»", api_key=…)`',
        packages=("litellm",),
    ),
)
