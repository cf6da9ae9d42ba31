import type { ServerChange } from "../../parts/feed"
import type { Server, State } from "./shapes"

/** `id`: of the server whose drawer is open; `add`: the dialog is; `models`: words that the matrix looks for; the rest says which servers are shown, and how. */
export const DEFAULTS = {
  view: "table",
  hours: "24",
  id: "",
  add: "",
  q: "",
  state: "",
  trust: "",
  source: "",
  kind: "",
  country: "",
  model: "",
  models: "",
}
export type Url = typeof DEFAULTS

/** The servers as asked `at` (ms), with the states that they have turned to since (`changes`: the latest first). */
export function current(all: Server[], changes: ServerChange[], at: number): Server[] {
  const latest = new Map<string, ServerChange>()
  for (const change of changes)
    if (Date.parse(change.at) > at && !latest.has(change.id)) latest.set(change.id, change)
  if (!latest.size) return all
  return all.map((row) => {
    const change = latest.get(row.id)
    return change ? { ...row, state: change.state as State, reason: change.reason, rests_for_s: null } : row
  })
}

/** Those that fit all filters but the state's, whose counts are shown. */
export function matching(all: Server[], url: Url): Server[] {
  const words = url.q.toLowerCase().split(/\s+/).filter(Boolean)
  const model = url.model && !url.model.includes(":") ? `${url.model}:latest` : url.model
  return all.filter((row) => {
    const text = [row.id, row.name, row.url, row.version, row.country, row.reason].join(" ").toLowerCase()
    return (
      words.every((word) => text.includes(word)) &&
      (["trust", "source", "kind", "country"] as const).every(
        (name) => !url[name] || row[name] === url[name],
      ) &&
      (!model || row.models.includes(model) || row.models.includes(url.model))
    )
  })
}

/** The values that occur, most frequent first. */
export function values(all: Server[] | undefined, of: (row: Server) => string | null): string[] {
  const counts = new Map<string, number>()
  for (const row of all ?? []) {
    const value = of(row)
    if (value) counts.set(value, (counts.get(value) ?? 0) + 1)
  }
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([value]) => value)
}
