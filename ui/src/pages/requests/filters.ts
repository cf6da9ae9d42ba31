/** What the list shows. In the address every filter has the name that the API gives it, so other pages can link here. */
import type { paths } from "../../api/schema"
import type { Shape } from "../../api/client"
import { rangeOf } from "../../parts/Range"

export type Row = Shape["LoggedRequest"]
export type Query = NonNullable<paths["/admin/api/requests"]["get"]["parameters"]["query"]>

/** By id or by somebody's name for it: one search field for the four. */
export const searched = ["request_id", "correlation_id", "client_request_id", "end_user"] as const
export const texts = [
  "project",
  "key_id",
  "model",
  "backend_model",
  "server_id",
  "endpoint",
  "error_code",
] as const
export const choices = {
  status_class: ["2", "4", "5"],
  outcome: ["ok", "error", "shed", "client_closed", "gateway_crashed"],
  stream: ["true", "false"],
  tier: ["own", "partner", "public"],
} as const
export const numbers = ["status", "min_latency_ms", "max_latency_ms"] as const

export const names = [
  ...["failed", ...searched, ...texts, ...numbers],
  ...(Object.keys(choices) as (keyof typeof choices)[]),
] as const
export type Name =
  | (typeof searched)[number]
  | (typeof texts)[number]
  | (typeof numbers)[number]
  | keyof typeof choices
  | "failed"
export type Values = Record<Name | "range" | "id", string>

export const defaults = {
  ...(Object.fromEntries(names.map((name) => [name, ""])) as Record<Name, string>),
  range: "24h",
  id: "",
} satisfies Values

/** What is asked of the API, as of now. Who looks for an id looks for it at any time. */
export function queryOf(values: Values): Query {
  const query: Record<string, string | number | boolean> = {}
  for (const name of names as readonly Name[]) {
    const value = values[name]
    if (!value) continue
    if (name === "failed" || name === "stream") query[name] = value === "true"
    else if (name === "status_class" || (numbers as readonly string[]).includes(name))
      query[name] = Number(value)
    else query[name] = value
  }
  if (values.request_id) return query
  const { since, until } = rangeOf(values.range)
  return values.range.includes("_") ? { ...query, since, until } : { ...query, since }
}

/** Whether a row that has just ended belongs to the list. */
export function matches(row: Row, values: Values): boolean {
  const asText = row as unknown as Record<string, unknown>
  return (names as readonly Name[]).every((name) => {
    const value = values[name]
    if (!value) return true
    if (name === "project") return row.project === value || row.project_id === value
    if (name === "failed") return String(row.status >= 400) === value
    if (name === "status_class") return String(row.status)[0] === value
    if (name === "min_latency_ms") return row.latency_ms >= Number(value)
    if (name === "max_latency_ms") return row.latency_ms <= Number(value)
    return String(asText[name]) === value
  })
}

export const chosen = (values: Values): Name[] => (names as readonly Name[]).filter((name) => values[name])
