/** The hours of a week in the viewer's time: those of the API, which are of UTC, moved by whole hours. */
import { inUtc } from "../../parts/format"
import type { Metric, Row } from "./figures"

const HOUR = 3600
export const HOURS = 168
const MEANS_FROM = 8 * 24 * HOUR // from so many seconds on an hour of the week was there more than once

export interface Cell {
  /** null: there was no such hour in the range, or nothing is known of it. */
  value: number | null
  requests: number
  /** Was there such an hour in the range? */
  within: boolean
  /** The only hour that it stands for, as addresses have it; null: it stands for several. */
  range: string | null
}

/** Hours that the viewer's clock is ahead of UTC at that time; of a half one the whole hours. */
export const aheadOf = (at: string): number =>
  inUtc() ? 0 : Math.floor(-new Date(at).getTimezoneOffset() / 60)

/** Do cells stand for several hours each, so that what adds up is shown as an average? */
export const averages = (since: string, until: string): boolean =>
  (Date.parse(until) - Date.parse(since)) / 1000 >= MEANS_FROM

/** 168 cells, from the viewer's Monday 00:00 on. */
export function weekOf(rows: Row[], since: string, until: string, ahead: number, metric: Metric): Cell[] {
  const [from, to] = [Date.parse(since) / 1000, Date.parse(until) / 1000]
  const mean = metric.adds && averages(since, until)
  const byHour = new Map(rows.map((row) => [row.hour_of_week, row]))
  const spans: [number, number][][] = Array.from({ length: HOURS }, () => [])
  for (let at = Math.floor(from / HOUR) * HOUR; at < to; at += HOUR)
    spans[(at / HOUR + 72) % HOURS]!.push([Math.max(at, from), Math.min(at + HOUR, to)])
  return Array.from({ length: HOURS }, (_, local) => {
    const hour = (local - ahead + HOURS) % HOURS
    const row = byHour.get(hour)
    const found = spans[hour]!
    const seconds = found.reduce((sum, [begin, end]) => sum + end - begin, 0)
    const value = row ? metric.of(row) : metric.adds ? 0 : null
    return {
      value: !found.length ? null : mean && value != null ? (value * HOUR) / seconds : value,
      requests: row?.requests ?? 0,
      within: found.length > 0,
      range: found.length === 1 ? found[0]!.map((end) => new Date(end * 1000).toISOString()).join("_") : null,
    }
  })
}

/** 0 for nothing, 4 for the most. */
export const levelOf = (value: number | null, most: number): number =>
  value && most ? Math.max(1, Math.ceil((value / most) * 4)) : 0
