import { gathered } from "./gathered"
import shell from "./en.json"

export const texts = gathered(
  shell,
  import.meta.glob("../pages/*/en.json", { eager: true, import: "default" }),
)
