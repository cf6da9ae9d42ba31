import { expect, test } from "vitest"

import { metricOf, type Row } from "./figures"
import { levelOf, weekOf } from "./week"

const row = (hour_of_week: number, requests: number) =>
  ({ hour_of_week, requests, errors: 0, latency_ms_p95: 40 }) as unknown as Row
const MONDAY = "2026-11-23T00:00:00.000Z"
const NEXT = "2026-11-30T00:00:00.000Z"

test("hours stand where the viewer's clock has them", () => {
  const cells = weekOf([row(0, 3), row(167, 5)], MONDAY, NEXT, 1, metricOf("requests"))
  expect([cells[1]!.value, cells[0]!.value, cells[2]!.value]).toEqual([3, 5, 0])
  const behind = weekOf([row(0, 3)], MONDAY, NEXT, -5, metricOf("requests"))
  expect(behind[163]!.value).toBe(3)
  expect(cells[1]!.range).toBe("2026-11-23T00:00:00.000Z_2026-11-23T01:00:00.000Z")
})

test("an hour that comes twice leads nowhere, and one that does not come is unknown", () => {
  const twice = weekOf([row(10, 4)], "2026-11-23T10:30:00Z", "2026-11-30T10:30:00Z", 0, metricOf("requests"))
  expect([twice[10]!.range, twice[10]!.value]).toEqual([null, 4])
  expect(twice[11]!.range).not.toBeNull()
  const day = weekOf([row(10, 4)], "2026-11-23T10:30:00Z", "2026-11-24T10:30:00Z", 0, metricOf("requests"))
  expect([day[10]!.range, day[10]!.within]).toEqual([
    "2026-11-23T10:30:00.000Z_2026-11-23T11:00:00.000Z",
    true,
  ])
  expect([day[60]!.value, day[60]!.within]).toEqual([null, false])
})

test("what adds up is an average per hour where hours come several times; times are as they are", () => {
  const [since, until] = ["2026-11-02T00:00:00Z", "2026-11-30T12:00:00Z"] // 5 Mondays until noon, 4 else
  expect(weekOf([row(3, 10)], since, until, 0, metricOf("requests"))[3]!.value).toBe(2)
  expect(weekOf([row(30, 10)], since, until, 0, metricOf("requests"))[30]!.value).toBe(2.5)
  expect(weekOf([row(3, 10)], since, until, 0, metricOf("latency_ms_p95"))[3]!.value).toBe(40)
  expect(weekOf([], since, until, 0, metricOf("latency_ms_p95"))[3]!.value).toBeNull()
})

test("levels say nothing, little and most apart", () => {
  expect([0, 1, 26, 100].map((value) => levelOf(value, 100))).toEqual([0, 1, 2, 4])
  expect([levelOf(null, 100), levelOf(0, 0)]).toEqual([0, 0])
})
