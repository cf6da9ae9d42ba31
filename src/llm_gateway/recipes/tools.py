"""Recipes of programs that people work with: coding tools, editors, chat pages, automation.

The formats are those of the released versions: Codex 0.171, opencode 1.18, Claude Code 2.1, Aider and Continue's
command were run with these files; the others follow their own documentation of November 2026.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.recipes.recipe import CONTEXT, KEY_VARIABLE, File, Part, Recipe

_CHAT: Final = "/v1/chat/completions"
_MODELS: Final = "/v1/models"
_TOOLS: Final = "A model with tools."
_KEY: Final = f"export {KEY_VARIABLE}=«KEY»"
_NAMED: Final = f"The file names the variable `{KEY_VARIABLE}` instead of holding the key."

_CODEX: Final = f"""\
model = «MODEL»
model_provider = "llm-gateway"

[model_providers.llm-gateway]
name = "LLM Gateway"
base_url = «BASE/v1»
env_key = "{KEY_VARIABLE}"
wire_api = "responses\""""

_OPENCODE: Final = f"""\
{{
  "$schema": "https://opencode.ai/config.json",
  "provider": {{
    "llm-gateway": {{
      "npm": "@ai-sdk/openai-compatible",
      "name": "LLM Gateway",
      "options": {{"baseURL": «BASE/v1», "apiKey": "{{env:{KEY_VARIABLE}}}"}},
      "models": {{
        «MODEL»: {{"name": «MODEL», "limit": {{"context": «#CONTEXT», "output": 4096}}}}
      }}
    }}
  }}
}}"""

_CLAUDE: Final = """\
{
  "env": {«+»
    "ANTHROPIC_BASE_URL": «BASE»,
    "ANTHROPIC_MODEL": «MODEL»,
    "ANTHROPIC_DEFAULT_OPUS_MODEL": «MODEL»,
    "ANTHROPIC_DEFAULT_SONNET_MODEL": «MODEL»,
    "ANTHROPIC_DEFAULT_HAIKU_MODEL": «MODEL»,
    "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1"
  }
}"""

_CONTINUE: Final = f"""\
name: LLM Gateway
version: 0.0.1
schema: v1
models:
  - name: «MODEL»
    provider: openai
    model: «MODEL»
    apiBase: «BASE/v1»
    apiKey: ${{{{ secrets.{KEY_VARIABLE} }}}}
    roles: [chat, edit, apply]"""

_ZED: Final = """\
{
  "language_models": {
    "openai_compatible": {
      "gateway": {
        "api_url": «BASE/v1»,
        "available_models": [{"name": «MODEL», "display_name": «MODEL», "max_tokens": «#CONTEXT»}]
      }
    }
  }
}"""

_VSCODE: Final = """\
[
  {
    "name": "LLM Gateway",
    "vendor": "customendpoint",
    "apiKey": «KEY»,
    "apiType": "chat-completions",
    "models": [
      {
        "id": «MODEL»,
        "name": «MODEL»,
        "url": «BASE/v1/chat/completions»,
        "toolCalling": true,
        "vision": false,
        "maxInputTokens": «#CONTEXT»,
        "maxOutputTokens": 4096
      }
    ]
  }
]"""

TOOLS: Final[tuple[Recipe, ...]] = (
    Recipe(
        "claude-code",
        "Claude Code",
        ("/v1/messages", "/v1/messages/count_tokens", "/"),
        (
            Part(
                "Set in the shell that starts it:",
                "sh",
                "export ANTHROPIC_BASE_URL=«BASE»\nexport ANTHROPIC_AUTH_TOKEN=«KEY»\nexport ANTHROPIC_MODEL=«MODEL»\n"
                "export ANTHROPIC_DEFAULT_OPUS_MODEL=«MODEL»\nexport ANTHROPIC_DEFAULT_SONNET_MODEL=«MODEL»\n"
                "export ANTHROPIC_DEFAULT_HAIKU_MODEL=«MODEL»\nexport CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS=1",
            ),
            Part("Then:", "sh", "claude"),
        ),
        "`ANTHROPIC_BASE_URL=«BASE»` (without `/v1`), `ANTHROPIC_AUTH_TOKEN`, `ANTHROPIC_MODEL`",
        (
            _TOOLS,
            "`ANTHROPIC_API_KEY` must not be set beside `ANTHROPIC_AUTH_TOKEN`.",
            "The file wins over the shell. It holds the key only when `connect` was given one.",
        ),
        context=CONTEXT,
        file=File(
            "~/.claude/settings.json",
            "json",
            _CLAUDE,
            "Export ANTHROPIC_AUTH_TOKEN in your shell if the file does not hold the key; then run `claude`.",
            keyed='\n    "ANTHROPIC_AUTH_TOKEN": «KEY»,',
        ),
    ),
    Recipe(
        "codex",
        "Codex CLI",
        ("/v1/responses",),
        (
            Part("In `~/.codex/llm-gateway.config.toml`, a profile of its own:", "toml", _CODEX),
            Part("Then:", "sh", f"{_KEY}\ncodex --profile llm-gateway"),
        ),
        f'provider with `base_url = "«BASE/v1»"`, `env_key = "{KEY_VARIABLE}"`, `wire_api = "responses"`',
        (_TOOLS, _NAMED, "Your own `config.toml` stays as it is; without `--profile` it is used as before."),
        context=CONTEXT,
        file=File(
            "~/.codex/llm-gateway.config.toml",
            "toml",
            _CODEX,
            f"Export {KEY_VARIABLE} in your shell, then run `codex --profile llm-gateway`.",
        ),
    ),
    Recipe(
        "opencode",
        "opencode",
        (_CHAT,),
        (
            Part("In `opencode.json` of the project:", "json", _OPENCODE),
            Part("Then, and choose the model with `/models`:", "sh", f"{_KEY}\nopencode -m «llm-gateway/MODEL»"),
        ),
        '`opencode.json`: provider `@ai-sdk/openai-compatible`, `baseURL: "«BASE/v1»"`',
        (_TOOLS, _NAMED),
        context=CONTEXT,
        file=File(
            "opencode.json",
            "json",
            _OPENCODE,
            f"Export {KEY_VARIABLE} in your shell, then run `opencode` and choose the model with /models.",
        ),
    ),
    Recipe(
        "aider",
        "Aider",
        (_CHAT,),
        (
            Part("Set:", "sh", "export OPENAI_API_BASE=«BASE/v1»\nexport OPENAI_API_KEY=«KEY»"),
            Part("Then:", "sh", "aider --model «openai/MODEL»"),
        ),
        "`OPENAI_API_BASE=«BASE/v1»`, `OPENAI_API_KEY`, `--model openai/NAME`",
        ("The prefix `openai/` chooses the protocol; the gateway gets the name without it.",),
        file=File(
            "~/.aider.conf.yml",
            "yaml",
            "model: «openai/MODEL»\nopenai-api-base: «BASE/v1»",
            "Export OPENAI_API_KEY in your shell, then run `aider`.",
        ),
    ),
    Recipe(
        "goose",
        "Goose",
        (_CHAT, _MODELS),
        (
            Part(
                "Set:",
                "sh",
                "export GOOSE_PROVIDER=openai\nexport GOOSE_MODEL=«MODEL»\nexport OPENAI_HOST=«BASE»\n"
                "export OPENAI_BASE_PATH=v1/chat/completions\nexport OPENAI_API_KEY=«KEY»",
            ),
            Part("Then:", "sh", "goose session"),
        ),
        "`GOOSE_PROVIDER=openai`, `OPENAI_HOST=«BASE»`, `OPENAI_BASE_PATH=v1/chat/completions`, `OPENAI_API_KEY`",
        (_TOOLS,),
        context=CONTEXT,
        file=File(
            "~/.config/goose/config.yaml",
            "yaml",
            "GOOSE_PROVIDER: openai\nGOOSE_MODEL: «MODEL»\nOPENAI_HOST: «BASE»\nOPENAI_BASE_PATH: v1/chat/completions",
            "Export OPENAI_API_KEY in your shell, then run `goose session`.",
        ),
    ),
    Recipe(
        "continue",
        "Continue",
        (_CHAT, "/v1/completions", "/v1/embeddings"),
        (
            Part("In `~/.continue/models/llm-gateway.yaml`, which every assistant then has:", "yaml", _CONTINUE),
            Part("In `~/.continue/.env`:", "text", f"{KEY_VARIABLE}=«KEY»"),
        ),
        '`provider: openai`, `apiBase: "«BASE/v1»"`, `apiKey`',
        (
            _NAMED,
            "Its command `cn` wants the file by name: `cn --config ~/.continue/models/llm-gateway.yaml`.",
            "Role `autocomplete` needs a model that fills in the middle, role `embed` one that makes embeddings: give "
            "them entries of their own.",
        ),
        file=File(
            "~/.continue/models/llm-gateway.yaml",
            "yaml",
            _CONTINUE,
            f"Write {KEY_VARIABLE}=… into ~/.continue/.env.",
        ),
    ),
    Recipe(
        "cline",
        "Cline and Roo Code",
        (_CHAT,),
        (
            Part(
                "In the extension's settings:",
                "text",
                "API Provider:  OpenAI Compatible\nBase URL:      «BASE/v1»\n"
                "API Key:       «KEY»\nModel ID:      «MODEL»",
            ),
        ),
        "provider *OpenAI Compatible*, Base URL `«BASE/v1»`",
        ("Set the context window of the model in the same place.",),
        context=CONTEXT,
    ),
    Recipe(
        "zed",
        "Zed",
        (_CHAT,),
        (
            Part("In `~/.config/zed/settings.json`:", "json", _ZED),
            Part("Then:", "sh", "export GATEWAY_API_KEY=«KEY»\nzed"),
        ),
        '`language_models.openai_compatible`, `"api_url": "«BASE/v1»"`',
        (
            _TOOLS,
            "Zed takes the key from its own settings page or from `GATEWAY_API_KEY`, never from the file.",
        ),
        file=File(
            "~/.config/zed/settings.json",
            "json",
            _ZED,
            "Enter the key in Zed (Agent settings, LLM Providers), or export GATEWAY_API_KEY before you start it.",
        ),
    ),
    Recipe(
        "vscode",
        "VS Code, chat of GitHub Copilot",
        (_CHAT,),
        (
            Part(
                "Run *Chat: Open Language Models (JSON)* of the command palette (VS Code 1.122 or later), and add:",
                "json",
                _VSCODE,
            ),
        ),
        "*Custom Endpoint*: `«BASE/v1/chat/completions»`",
        (_TOOLS, "Copilot Business and Enterprise: an administrator has to allow keys of one's own."),
        context=CONTEXT,
    ),
    Recipe(
        "open-webui",
        "Open WebUI",
        (_MODELS, _CHAT),
        (
            Part(
                "Set where Open WebUI runs, before its first start:",
                "sh",
                "export OPENAI_API_BASE_URL=«BASE/v1»\nexport OPENAI_API_KEY=«KEY»\nexport ENABLE_OLLAMA_API=false",
            ),
            Part(
                "Or later, in Admin Settings, Connections, OpenAI API:",
                "text",
                "URL:  «BASE/v1»\nKey:  «KEY»",
            ),
        ),
        "`OPENAI_API_BASE_URL=«BASE/v1»`, `OPENAI_API_KEY`",
        (
            "What its database holds wins over the variables.",
            "In a container 127.0.0.1 is the container itself: use an address that it can reach.",
            "Its Ollama connection works too: the address without `/v1`, and the key in the connection's own settings.",
        ),
    ),
    Recipe(
        "n8n",
        "n8n",
        (_MODELS, _CHAT),
        (
            Part("A credential of type *OpenAI*:", "text", "API Key:   «KEY»\nBase URL:  «BASE/v1»"),
            Part("Or one of type *Ollama*:", "text", "Base URL:  «BASE»\nAPI Key:   «KEY»"),
        ),
        "credential *OpenAI* with Base URL `«BASE/v1»`, or *Ollama* with Base URL `«BASE»`",
        ("Choose the model in the node.",),
    ),
)
