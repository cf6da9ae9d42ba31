/** Sentences of the API in the chosen language; one that is not known here is said as the API says it. */
import i18n from "i18next"

import type { Shape } from "../api/client"
import { duration } from "./format"

type Sentence = Shape["Sentence"]

/** What of a sentence's values is a word of ours, and not a name. */
const worded: Record<string, (value: string) => string> = {
  fault: (kind) => i18n.t(`faults.${kind}`, { ns: "requests", defaultValue: kind }),
  trust: (trust) => i18n.t(`trust.${trust}`, { ns: "models", defaultValue: trust }),
  part: (part) => i18n.t(`said.parts.${part}`, { defaultValue: part }),
}

export function say({ code, values, text }: Sentence): string {
  const count = values.count
  const key = typeof count === "number" ? { count } : {}
  if (!i18n.exists(`said.${code}`, key)) return text
  const shown = Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (name === "seconds") return [name, duration(Number(value) * 1000)]
      if (name === "states") return [name, (value as string[]).map(state)]
      return [name, (typeof value === "string" && worded[name]?.(value)) || value]
    }),
  )
  return i18n.t(`said.${code}`, { ...shown, ...key })
}

/** Of `3 healthy` and the like. */
function state(text: string): string {
  const [count, word] = text.split(" ")
  return `${count} ${i18n.t(`said.states.${word}`, { defaultValue: word })}`
}
