/** From a request and its attempts to bars on one axis of milliseconds. Only figures: what is drawn is in `Waterfall`. */
import type { Shape } from "../../api/client"

export type Detail = Shape["RequestDetail"]
export type Attempt = Shape["LoggedAttempt"]

export interface Lane {
  attempt: Attempt
  /** All in ms from the beginning of the request. */
  begin: number
  /** Its first content; null: there was none. */
  first: number | null
  end: number
}

export interface Chart {
  lanes: Lane[]
  /** Until the first attempt: reading, admitting, waiting for a place. */
  queued: number
  /** Length of the axis. */
  whole: number
  ticks: number[]
}

const STEPS = [1, 2, 2.5, 5]

/** About four round marks between 0 and the end. */
export function ticksOf(whole: number): number[] {
  const size = 10 ** Math.floor(Math.log10(whole / 4))
  const step = (STEPS.find((each) => each * size >= whole / 4) ?? 10) * size
  return Array.from({ length: Math.floor(whole / step) + 1 }, (_, at) => at * step)
}

export function chartOf(request: Detail): Chart {
  const start = Date.parse(request.timestamp)
  const lanes = request.attempts.map((attempt) => {
    const begin = Math.max(0, Date.parse(attempt.timestamp) - start)
    return {
      attempt,
      begin,
      first: attempt.ttft_ms == null ? null : begin + attempt.ttft_ms,
      end: begin + attempt.duration_ms,
    }
  })
  const whole = Math.max(request.latency_ms, ...lanes.map(({ end }) => end), 1)
  return { lanes, queued: lanes[0]?.begin ?? request.latency_ms, whole, ticks: ticksOf(whole) }
}
