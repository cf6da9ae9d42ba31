from pathlib import Path

from example_config import EXAMPLE

from llm_gateway.config.document import Document
from llm_gateway.config.mistakes import model_in
from llm_gateway.config.origins import LEAVES, read_dotenv
from llm_gateway.config.reader import read_text
from llm_gateway.config.reference import ENV_EXAMPLE, SETTINGS_PAGE, env_example, settings_page
from llm_gateway.config.schema import json_schema
from llm_gateway.settings import Settings

ROOT = Path(__file__).parents[3]
AGAIN = "run `python -m llm_gateway.config.reference`"


def objections(value, schema, whole, at="file"):
    """What of JSON Schema the file's schema uses, and nothing more."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        every = [objections(value, each, whole, at) for each in schema["anyOf"]]
        return [] if any(not found for found in every) else every[0]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float), "integer": int}
    kinds["null"] = type(None)
    kind = kinds.get(schema.get("type"))
    if kind and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        return [f"{at} is not {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at} is not in the list"]
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        return [f"{at} is too small"]
    found = []
    if isinstance(value, dict):
        found += [f"{at} lacks {key}" for key in schema.get("required", ()) if key not in value]
        for key, inner in value.items():
            if key in schema["properties"]:
                found += objections(inner, schema["properties"][key], whole, f"{at}.{key}")
            else:
                assert schema["additionalProperties"] is False
                found.append(f"{at} has {key}")
    if isinstance(value, list):
        for i, inner in enumerate(value):
            found += objections(inner, schema["items"], whole, f"{at}[{i}]")
    return found


def test_the_schema_accepts_the_example():
    schema = json_schema()
    assert objections(read_text(EXAMPLE, shown="example").value, schema, schema) == []


def test_the_schema_refuses_what_the_reader_refuses():
    schema = json_schema()
    text = "prot: 1\nport: many\nprojects: [{rate_limit_per_minute: -1, trust: [nobody]}]\n"
    assert objections(read_text(text, shown="f").value, schema, schema) == [
        "file has prot",
        "file.port is not integer",
        "file.projects[0] lacks name",
        "file.projects[0].rate_limit_per_minute is too small",
        "file.projects[0].trust[0] is not in the list",
    ]


def described(model):
    for name, info in model.model_fields.items():
        assert info.description, f"{model.__name__}.{name} has no description"
        assert info.description.strip().endswith((".", "?", "`.")), f"{model.__name__}.{name}"
        if inner := model_in(info.annotation):
            described(inner)


def test_every_setting_and_every_key_of_the_file_is_described():
    described(Settings)
    described(Document)


def test_the_settings_page_is_what_the_fields_say():
    assert (ROOT / SETTINGS_PAGE).read_text() == settings_page(), AGAIN


def test_the_env_example_is_what_the_fields_say():
    assert (ROOT / ENV_EXAMPLE).read_text() == env_example(), AGAIN


def test_the_env_example_changes_nothing_when_it_is_copied(tmp_path, loading):
    assert loading(dotenv=env_example()).settings == loading().settings


def test_each_line_of_the_env_example_is_a_setting_that_could_be_uncommented(tmp_path):
    path = tmp_path / ".env"
    path.write_text(env_example().replace("\n# LLM_GATEWAY_", "\nLLM_GATEWAY_"))
    given = list(read_dotenv(path).given(tmp_path))
    empty = {"database_url", "admin_password", "admin_token", "only_networks"}
    assert {line[0] for line in read_dotenv(path).lines} == {
        "LLM_GATEWAY_" + "__".join(keys).upper() for keys in LEAVES
    }
    assert {str(g).split("`")[1] for g in given if not hasattr(g, "keys")} == empty
