/** What can be shown: metrics of the API's rows, and the dimensions that they are grouped by. */
import type { paths } from "../../api/schema"
import type { Shape } from "../../api/client"
import { compact, cost, duration, number, percent } from "../../parts/format"

export type Row = Shape["StatRow"]
export type Query = NonNullable<paths["/admin/api/stats"]["get"]["parameters"]["query"]>
export type Order = NonNullable<Query["order"]>
export type Bucket = NonNullable<Query["bucket"]>

export interface Metric {
  of: (row: Row) => number | null
  shown: (value: number | null | undefined) => string
  /** For little room. */
  brief: (value: number) => string
  /** Sums of it mean something: it can be stacked, shared out and added up. */
  adds: boolean
  /** What the largest groups are chosen by. */
  order: Order
}

const count = (of: (row: Row) => number, order: Order, shown: Metric["shown"] = compact): Metric => ({
  of,
  shown,
  brief: (value) => (value < 10 ? number(value, 1) : compact(value)),
  adds: true,
  order,
})
const time = (of: (row: Row) => number | null): Metric => ({
  of,
  shown: duration,
  brief: (ms) => `${number(ms / 1000, ms < 10_000 ? 1 : 0)} s`,
  adds: false,
  order: "requests",
})

export const metrics = {
  requests: count((row) => row.requests, "requests"),
  errors: count((row) => row.errors, "errors"),
  error_share: {
    of: (row) => (row.requests ? row.errors / row.requests : null),
    shown: (value) => percent(value),
    brief: (value) => percent(value, 0),
    adds: false,
    order: "requests",
  },
  saved: count((row) => row.saved, "saved"),
  failovers: count((row) => row.failovers, "failovers"),
  tokens: count((row) => row.tokens_input + row.tokens_output, "tokens"),
  tokens_input: count((row) => row.tokens_input, "tokens_input"),
  tokens_output: count((row) => row.tokens_output, "tokens_output"),
  cost: count((row) => row.cost, "cost", cost),
  latency_ms_p50: time((row) => row.latency_ms_p50),
  latency_ms_p95: time((row) => row.latency_ms_p95),
  ttft_ms_p50: time((row) => row.ttft_ms_p50),
  ttft_ms_p95: time((row) => row.ttft_ms_p95),
} satisfies Record<string, Metric>
export type MetricName = keyof typeof metrics
export const metricOf = (name: string): Metric => metrics[name as MetricName] ?? metrics.requests

export const dimensions = [
  "project",
  "model",
  "backend_model",
  "key",
  "tier",
  "endpoint",
  "status_class",
  "error_code",
] as const
export type Dimension = (typeof dimensions)[number]

export const groupsOf = (by: string): Dimension[] =>
  by
    .split(",")
    .filter((name): name is Dimension => (dimensions as readonly string[]).includes(name))
    .slice(0, 2)

/** The value of a row's dimension as people know it; null: there was none. */
export function nameOf(row: Row, dimension: Dimension): string | null {
  if (dimension === "project") return row.project ?? row.project_id?.slice(0, 8) ?? null
  if (dimension === "key") return row.key ?? row.key_id?.slice(0, 8) ?? null
  if (dimension === "status_class") return row.status_class ? `${row.status_class}xx` : null
  return row[dimension] ?? null
}

export const keyOf = (row: Row, groups: Dimension[]): string =>
  JSON.stringify(
    groups.map((name) => (name === "project" ? row.project_id : name === "key" ? row.key_id : row[name])),
  )

/** The filter of the request log that a group is; null where the log has no word for it (there was none). */
export function filtersOf(row: Row, groups: Dimension[]): Record<string, string> | null {
  const found: Record<string, string> = {}
  for (const name of groups) {
    const value =
      name === "project" ? (row.project ?? row.project_id) : name === "key" ? row.key_id : row[name]
    if (value == null) return null
    found[name === "key" ? "key_id" : name] = String(value)
  }
  return found
}

export const buckets: Record<Bucket, number> = { minute: 60, hour: 3600, day: 86_400 }
const MOST_POINTS = 1000 // with nine series still fewer rows than the API gives

/** The chosen one where it makes a chart that can be read, else the finest that does. */
export function bucketOf(chosen: string, seconds: number): Bucket {
  if (chosen in buckets && seconds / buckets[chosen as Bucket] <= MOST_POINTS) return chosen as Bucket
  return seconds <= 2 * 3600 ? "minute" : seconds <= 3 * 86_400 ? "hour" : "day"
}
export const fits = (bucket: Bucket, seconds: number) => seconds / buckets[bucket] <= MOST_POINTS
