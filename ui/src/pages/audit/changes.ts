/** What an action changed, field by field. */
export interface Change {
  field: string
  /** undefined: it was not there. */
  before: unknown
  after: unknown
}

type Fields = Record<string, unknown>
const DEEPEST = 4

/** `{limits: {rpm: 1}}` → `limits.rpm`: 1. Lists stay whole. */
function flat(fields: Fields | null, into: Map<string, unknown>, at = "", depth = 0) {
  for (const [name, value] of Object.entries(fields ?? {})) {
    const nested = typeof value === "object" && value !== null && !Array.isArray(value) && depth < DEEPEST
    if (nested && Object.keys(value).length) flat(value as Fields, into, `${at}${name}.`, depth + 1)
    else into.set(at + name, value)
  }
  return into
}

export function changesOf(before: Fields | null, after: Fields | null): Change[] {
  const [old, now] = [flat(before, new Map()), flat(after, new Map())]
  return [...new Set([...old.keys(), ...now.keys()])]
    .map((field) => ({ field, before: old.get(field), after: now.get(field) }))
    .filter((change) => JSON.stringify(change.before) !== JSON.stringify(change.after))
}

/** As text: a list with commas, anything deeper as JSON; "" for what was not there. */
export function textOf(value: unknown): string {
  if (value === undefined) return ""
  if (typeof value === "string") return value
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) return value.join(", ")
  return JSON.stringify(value)
}
