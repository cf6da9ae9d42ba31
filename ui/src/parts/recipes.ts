/** How clients are connected: the recipes of `llm-gateway connect`, filled in by the gateway for this browser. */
import i18n from "i18next"

import { root, type Shape, use } from "../api/client"

export type Recipe = Shape["ShownRecipe"]
export type Recipes = Shape["RecipeList"]

export const useRecipes = (project?: string, model?: string, enabled = true) =>
  use.useQuery(
    "get",
    "/admin/api/recipes",
    { params: { query: { project: project || undefined, model: model || undefined, address: root } } },
    { enabled, staleTime: 60_000, placeholderData: (before?: Recipes) => before },
  )

/** A text of a recipe with a fresh key in it. The key never goes to the gateway: it is put in here. */
export const withKey = (text: string, { key: placeholder }: Recipes, key?: string) =>
  key ? text.replaceAll(placeholder, key) : text

/** What is pasted of one recipe, as one text. */
export const pasted = (recipes: Recipes, client: string, key?: string): string => {
  const found = recipes.data.find((recipe) => recipe.client === client)
  return withKey(found?.parts.map(({ text }) => text).join("\n\n") ?? "", recipes, key)
}

/** The variables that the OpenAI SDKs read, for a `.env` file. */
export const dotenv = (recipes: Recipes, key?: string): string => {
  const variables = recipes.data.find(({ client }) => client === "openai-python")?.parts[0]?.text ?? ""
  return withKey(variables.replace(/^export /gm, ""), recipes, key)
}

/** A recipe's sentence in the chosen language; the API's own stands for itself where there is no other. */
export const instruction = (text: string): string =>
  i18n.t(text, { ns: "recipes", defaultValue: text, keySeparator: false, nsSeparator: false })
