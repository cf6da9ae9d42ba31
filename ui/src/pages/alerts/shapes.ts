import type { Shape } from "../../api/client"
import { cost, duration, number, percent } from "../../parts/format"

export type Alert = Shape["AlertView"]
export type Delivery = Shape["DeliveryView"]
export type Rule = Shape["RuleRow"]
export type Rules = Shape["RuleList"]
export type Metric = Rules["metrics"][number]
export type Webhook = Rules["webhooks"][number]

export const RULES = "/admin/api/alerts/rules"

export const severities = ["info", "warning", "critical"] as const
export type Severity = (typeof severities)[number]
export const colorOf: Record<string, string> = { info: "blue", warning: "yellow", critical: "red" }

/** A value in the unit of its metric. */
export function shown(value: number, unit: string | null): string {
  if (unit === "share") return percent(value)
  if (unit === "ms") return duration(value)
  if (unit === "s") return duration(value * 1000)
  if (unit === "days") return `${number(value, 1)} d`
  return unit === "cost" ? cost(value) : number(value, 2)
}

/** 300 → `5m`, as the API takes it. */
export function spanOf(seconds: number | null | undefined): string {
  if (!seconds) return ""
  for (const [unit, size] of [
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
  ] as const)
    if (seconds % size === 0) return `${seconds / size}${unit}`
  return `${seconds}s`
}

/** What the API takes as `when`; shares are written in per cent. */
export const whenOf = (metric: string, comparison: string, threshold: number, unit: string): string =>
  `${metric} ${comparison} ${unit === "share" ? `${threshold}%` : threshold}`
