"""All recipes, in the order in which they are shown. A new client is a recipe in `sdks` or `tools`."""

from __future__ import annotations

import difflib
from typing import Final

from llm_gateway.recipes.recipe import Recipe
from llm_gateway.recipes.sdks import SDKS
from llm_gateway.recipes.tools import TOOLS

RECIPES: Final[tuple[Recipe, ...]] = (*SDKS, *TOOLS)


def find(name: str) -> Recipe | None:
    return next((recipe for recipe in RECIPES if recipe.name == name.strip().lower()), None)


def nearest(name: str) -> str | None:
    """The client that was probably meant."""
    names = [recipe.name for recipe in RECIPES]
    asked = name.strip().lower()
    starting = [known for known in names if asked and known.startswith(asked)]
    return next(iter(starting or difflib.get_close_matches(asked, names, n=1, cutoff=0.5)), None)
