"""How each client is told to use the gateway: one table (`table.RECIPES`), and what fills and writes its recipes.

The command line and the documentation show the same recipes, and so may any page. Nothing here knows the gateway's
parts: a recipe is filled with an address, a model and a key.
"""
