import { Tooltip } from "@mantine/core"
import { useSyncExternalStore } from "react"

import { absolute, DASH, relative } from "./format"

const TICK = 10_000 // ms
let now = Date.now()
const told = new Set<() => void>()
setInterval(() => {
  now = Date.now()
  for (const tell of told) tell()
}, TICK)

const subscribe = (tell: () => void) => {
  told.add(tell)
  return () => told.delete(tell)
}

/** A time: how long ago, and on hover or focus when exactly. */
export function When({ at }: { at: string | null | undefined }) {
  const current = useSyncExternalStore(subscribe, () => now)
  if (!at) return <>{DASH}</>
  return (
    <Tooltip label={absolute(at)}>
      <time dateTime={at} style={{ whiteSpace: "nowrap" }}>
        {relative(at, Math.min(Math.max(current, Date.parse(at)), current + TICK))}
      </time>
    </Tooltip>
  )
}
