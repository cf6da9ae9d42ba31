/** A course over time in even steps, as charts want it: the API leaves out the steps without requests. */
import i18n from "i18next"

import { inUtc } from "./format"

const DAY = 86_400

/** When each step of [since, until) begins, as Unix seconds; steps begin at whole multiples of their length. */
export function stepsOf(since: string, until: string, seconds: number): number[] {
  const [from, to] = [Date.parse(since) / 1000, Date.parse(until) / 1000]
  const found: number[] = []
  for (let at = Math.floor(from / seconds) * seconds; at < to; at += seconds) found.push(at)
  return found
}

export const unix = (iso: string): number => Math.round(Date.parse(iso) / 1000)

/** For an axis: the time, or the day where steps are that long. Whole days are days of UTC. */
export function stepLabel(at: number, seconds: number, long = false): string {
  const day = { month: "short", day: "numeric" } as const
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const
  return new Date(at * 1000).toLocaleString(i18n.language, {
    ...(seconds >= DAY ? day : seconds > 3600 || long ? { ...day, ...time } : time),
    timeZone: inUtc() || seconds >= DAY ? "UTC" : undefined,
  })
}

/** The range of one step, as `Range` has it in addresses. */
export const stepRange = (at: number, seconds: number): string =>
  [at, at + seconds].map((end) => new Date(end * 1000).toISOString()).join("_")
