/** Which server holds which model, and how it stands there. */
import { type Server, STATES } from "./shapes"

/** The best first. */
export const HELD = ["warm", "listed", "resting", "quarantined", "disabled"] as const
export type Held = (typeof HELD)[number]

export interface Line {
  key: string
  name: string
  /** Of a logical name the physical ones, in order of preference. */
  means: string[]
  logical: boolean
  /** The project that a logical name belongs to; null: it is everybody's. */
  project: string | null
}

export interface Logical {
  id: string
  name: string
  project: string | null
  backend: string[]
}

const TRUST = ["own", "partner", "public"]

/** As servers list it. Of a pinned one every digest counts: lists of servers do not tell it. */
const listed = (name: string): string => {
  const plain = name.replace(/@(sha256:)?[0-9a-f]{12,64}$/i, "")
  return plain.includes(":") ? plain : `${plain}:latest`
}

/** Those that people look for first: whom they trust most, and of these the ones that are well. */
export const columnsOf = (servers: Server[]): Server[] =>
  servers.toSorted(
    (a, b) =>
      TRUST.indexOf(a.trust) - TRUST.indexOf(b.trust) ||
      STATES.indexOf(a.state) - STATES.indexOf(b.state) ||
      a.name.localeCompare(b.name),
  )

/** Logical names, then the physical ones that most of the servers hold; all with `words` in what they are called. */
export function linesOf(servers: Server[], logical: Logical[], words: string): Line[] {
  const counts = new Map<string, number>()
  for (const { models } of servers) for (const name of models) counts.set(name, (counts.get(name) ?? 0) + 1)
  const names = logical.map(({ id, name, project, backend }): Line => ({
    key: id,
    name,
    means: backend,
    logical: true,
    project,
  }))
  const physical = [...counts]
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
    .map(([name]): Line => ({ key: `=${name}`, name, means: [name], logical: false, project: null }))
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean)
  return [...names, ...physical].filter((line) => {
    const text = [line.name, line.project, ...line.means].join(" ").toLowerCase()
    return wanted.every((word) => text.includes(word))
  })
}

/** How a server's models stand: what keeps the whole server out keeps each of them out. */
export function standings(server: Server): Map<string, Held> {
  const whole = server.state === "healthy" || server.state === "unknown" ? null : server.state
  const warm = new Set(server.models_warm)
  return new Map(
    server.models.map((name) => [
      listed(name),
      whole ?? server.models_out[name] ?? (warm.has(name) ? "warm" : "listed"),
    ]),
  )
}

/** The best that a server has for a line; null: it lists none of it. */
export function heldBy(standing: Map<string, Held>, line: Line): Held | null {
  const found = line.means.map((name) => standing.get(listed(name))).filter((held) => held !== undefined)
  return HELD.find((held) => found.includes(held)) ?? null
}
