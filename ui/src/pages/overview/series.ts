/** The course of the figures: every step of the span, also those without requests, and beside it the time before. */
import type { Shape } from "../../api/client"
import { stepLabel, stepsOf, unix } from "../../parts/steps"

export type Overview = Shape["Overview"]
export type Figures = Shape["OverviewFigures"]

/** One step as the charts take it. Counts are 0 without requests, times unknown. */
export interface Point extends Record<string, unknown> {
  at: number
  label: string
  requests: number
  ok: number
  client: number
  server: number
  saved: number
  tokens: number
  input: number
  output: number
  cost: number
  p50: number | null
  p95: number | null
  first50: number | null
  first95: number | null
  speed: number | null
  success: number | null
  requestsBefore: number
  tokensBefore: number
  p95Before: number | null
}

export function pointsOf(found: Overview): Point[] {
  const { step_s: step } = found
  const length = unix(found.until) - unix(found.since)
  const of = (series: Overview["series"], shift = 0) =>
    new Map(series.map((each) => [Math.floor((unix(each.at) + shift) / step) * step, each]))
  const now = of(found.series)
  const before = of(found.previous_series ?? [], length)
  return stepsOf(found.since, found.until, step).map((at) => {
    const [here, old] = [now.get(at), before.get(at)]
    return {
      at,
      label: stepLabel(at, step),
      requests: here?.requests ?? 0,
      ok: here?.ok ?? 0,
      client: here?.client_errors ?? 0,
      server: here?.server_errors ?? 0,
      saved: here?.saved ?? 0,
      tokens: tokensOf(here),
      input: here?.tokens_input ?? 0,
      output: here?.tokens_output ?? 0,
      cost: here?.cost ?? 0,
      p50: here?.latency_ms_p50 ?? null,
      p95: here?.latency_ms_p95 ?? null,
      first50: here?.ttft_ms_p50 ?? null,
      first95: here?.ttft_ms_p95 ?? null,
      speed: here?.tokens_per_s ?? null,
      success: here ? successOf(here) : null,
      requestsBefore: old?.requests ?? 0,
      tokensBefore: tokensOf(old),
      p95Before: old?.latency_ms_p95 ?? null,
    }
  })
}

const tokensOf = (figures: Figures | undefined) =>
  figures ? figures.tokens_input + figures.tokens_output : 0

/** Share of what the gateway had to answer for: requests that were wrong themselves do not count. */
export const successOf = ({ ok, server_errors }: Figures): number | null =>
  ok + server_errors ? ok / (ok + server_errors) : null

/** What it would have been had no second server been asked. */
export const withoutFailover = ({ ok, server_errors, saved }: Figures): number | null =>
  ok + server_errors ? Math.max(ok - saved, 0) / (ok + server_errors) : null
