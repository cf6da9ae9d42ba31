from __future__ import annotations

from alembic.script import ScriptDirectory

from llm_gateway.storage.upgrade import HEAD, MIGRATIONS


def test_the_newest_migration_is_the_one_that_the_fast_path_expects():
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]
