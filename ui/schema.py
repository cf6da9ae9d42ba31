"""Types the dashboard by what the API says of itself: `npm run api` in `ui` writes `src/api/schema.d.ts` anew; with
`--check` nothing is written, and it is 1 where that would make a difference.

It asks a gateway of its own, with an empty folder and the tools of `./run test`.
"""

import difflib
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

UI = Path(__file__).resolve().parent
TYPES = UI / "src/api/schema.d.ts"
PRETTIER = "node_modules/prettier/bin/prettier.cjs"
COMMAND = "import sys; from llm_gateway.cli import main; sys.exit(main())"
MADE_BY = ["node_modules/openapi-typescript/bin/cli.js", "--alphabetize", "--default-non-nullable=false"]


def types() -> str:
    """What the file should hold. Raises CalledProcessError."""
    _, place = runpy.run_path(str(UI / "build.py"))["tool"]()
    path = os.pathsep.join([place, os.environ.get("PATH", "")])
    # Settings of this machine must not show in what everybody has.
    others = {name: value for name, value in os.environ.items() if not name.startswith("LLM_GATEWAY_")}
    with tempfile.TemporaryDirectory() as folder:
        described, made = Path(folder, "openapi.json"), Path(folder, "schema.d.ts")
        ask = [sys.executable, "-c", COMMAND, "openapi", "--data-dir", str(Path(folder, "data"))]
        described.write_bytes(subprocess.run(ask, cwd=folder, env=others, check=True, stdout=subprocess.PIPE).stdout)
        make = ["node", *MADE_BY, str(described), "--output", str(made)]
        form = ["node", PRETTIER, "--config", ".prettierrc.json", "--log-level", "warn", "--write", str(made)]
        for words in (make, form):
            subprocess.run(words, cwd=UI, env={**others, "PATH": path}, check=True, stdout=sys.stderr)
        return made.read_text()


def main() -> int:
    new, old = types(), TYPES.read_text()
    if "--check" not in sys.argv:
        TYPES.write_text(new)
    elif new != old:
        lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), "schema.d.ts", "as the API is", n=0)
        sys.stderr.writelines([*lines][:60])
        print("The API is not what the dashboard was typed by: run `npm run api` in ui.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
