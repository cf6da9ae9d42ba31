import { gathered } from "./gathered"
import shell from "./es.json"

export const texts = gathered(
  shell,
  import.meta.glob("../pages/*/es.json", { eager: true, import: "default" }),
)
