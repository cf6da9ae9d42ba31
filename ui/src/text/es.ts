import { gathered } from "./gathered"
import shell from "./es.json"
import recipes from "./recipes.es.json"

export const texts = {
  ...gathered(shell, import.meta.glob("../pages/*/es.json", { eager: true, import: "default" })),
  recipes, // by the sentences of the API, which have no values
}
