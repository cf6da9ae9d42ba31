import classes from "./fleet.module.css"
import type { State } from "./shapes"

export interface Stretch {
  /** Shares of the whole, from 0 to 1. */
  from: number
  until: number
  state: State
  /** Told where the pointer rests. */
  title: string
}

/** How a server fared, from left to right. `label` says it in words. */
export function Lane({ stretches, label }: { stretches: Stretch[]; label: string }) {
  return (
    <svg className={classes.lane} viewBox="0 0 1 1" preserveAspectRatio="none" role="img" aria-label={label}>
      {stretches.map(({ from, until, state, title }) => (
        <rect key={from} x={from} width={Math.max(until - from, 0.001)} height={1} className={classes[state]}>
          <title>{title}</title>
        </rect>
      ))}
    </svg>
  )
}
