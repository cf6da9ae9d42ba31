/** From rows by bucket and group to the series of a chart. */
import { stepsOf, unix } from "../../parts/steps"
import { type Dimension, keyOf, type Metric, type Row } from "./figures"

export interface Series {
  /** Of the data; names themselves may hold dots, which charts read as paths. */
  name: string
  label: string
  color: string
}
export type Point = Record<string, number | string | null>

const colors = ["brand.6", "teal.6", "orange.6", "grape.6", "cyan.6", "pink.6", "lime.7", "yellow.6"]

interface Wanted {
  since: string
  until: string
  step: number
  metric: Metric
  groups: Dimension[]
  label: (row: Row) => string
  other: string
  cumulative: boolean
}

/** `totals`: rows by bucket of everything, for what is beyond the groups of `rows`. */
export function courseOf(rows: Row[], totals: Row[], wanted: Wanted): { data: Point[]; series: Series[] } {
  const { metric, groups, step } = wanted
  const steps = stepsOf(wanted.since, wanted.until, step)
  const place = new Map(steps.map((at, n) => [at, n]))
  const data: Point[] = steps.map((at) => ({ at }))
  const series: Series[] = []
  const known = new Map<string, string>()
  const at = (row: Row) => data[place.get(Math.floor(unix(row.bucket!) / step) * step) ?? -1]
  for (const row of rows) {
    const key = keyOf(row, groups)
    let name = known.get(key)
    if (name === undefined) {
      name = `s${series.length}`
      known.set(key, name)
      series.push({ name, label: wanted.label(row), color: colors[series.length % colors.length]! })
    }
    const point = at(row)
    if (point) point[name] = metric.of(row)
  }
  if (metric.adds) {
    for (const row of totals) {
      const point = at(row)
      if (!point) continue
      const rest = metric.of(row)! - series.reduce((sum, { name }) => sum + Number(point[name] ?? 0), 0)
      if (rest > 1e-9) point.other = rest
    }
    if (data.some((point) => point.other))
      series.push({ name: "other", label: wanted.other, color: "gray.5" })
    for (const { name } of series) {
      let sum = 0
      for (const point of data) {
        sum += Number(point[name] ?? 0)
        point[name] = wanted.cumulative ? sum : (point[name] ?? 0)
      }
    }
  }
  return { data, series }
}
