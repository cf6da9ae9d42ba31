import { expect, test } from "vitest"

import { courseOf } from "./course"
import { metricOf, type Row } from "./figures"

const row = (bucket: string, model: string | undefined, requests: number) =>
  ({ bucket, model, requests, errors: 0 }) as unknown as Row
const wanted = {
  since: "2026-01-01T00:00:00Z",
  until: "2026-01-01T03:00:00Z",
  step: 3600,
  metric: metricOf("requests"),
  groups: ["model" as const],
  label: (each: Row) => each.model ?? "",
  other: "Other",
  cumulative: false,
}
const rows = [row("2026-01-01T00:00:00Z", "a.b", 2), row("2026-01-01T02:00:00Z", "a.b", 1)]
const totals = [row("2026-01-01T00:00:00Z", undefined, 5), row("2026-01-01T02:00:00Z", undefined, 1)]

test("what is beyond the shown groups is the rest of the whole, and steps without requests are nought", () => {
  const { data, series } = courseOf(rows, totals, wanted)
  expect(series.map(({ label }) => label)).toEqual(["a.b", "Other"])
  expect(data.map(({ s0, other }) => [s0, other])).toEqual([
    [2, 3],
    [0, 0],
    [1, 0],
  ])
})

test("a cumulative course never falls", () => {
  const { data } = courseOf(rows, totals, { ...wanted, cumulative: true })
  expect(data.map(({ s0, other }) => [s0, other])).toEqual([
    [2, 3],
    [2, 3],
    [3, 3],
  ])
})

test("percentiles are not added up: a step without requests is unknown, and there are no others", () => {
  const { data, series } = courseOf(rows, totals, { ...wanted, metric: metricOf("latency_ms_p95") })
  expect(series).toHaveLength(1)
  expect(data[1]!.s0).toBeUndefined()
})
