/** What this folder's files share: the API's shapes, the one query of the page, and the names of limits. */
import { useQueryClient } from "@tanstack/react-query"

import { type Shape, use } from "../../api/client"
import { compact, cost, number } from "../../parts/format"

export type Project = Shape["ListedProject"]
export type Changes = Shape["ProjectChanges"]
export type Key = Shape["KeyView"]
export type Figure = Shape["LimitFigure"]
export type LimitName = Figure["name"]
export type Limits = Pick<Changes, LimitName>
export type Trust = Project["trust"][number]

/** A project's page shows one of these: the same query, so that going there and back asks nothing. */
export const useProjects = () => use.useQuery("get", "/admin/api/projects")

export const limitNames: LimitName[] = [
  "rate_limit_per_minute",
  "tokens_per_minute",
  "max_concurrency",
  "daily_tokens",
  "monthly_tokens",
  "daily_cost",
  "monthly_cost",
]

export const isCost = (name: LimitName) => name.endsWith("_cost")
export const amount = (name: LimitName, value: number) =>
  isCost(name) ? cost(value) : value < 100_000 ? number(value) : compact(value)

/** Share of a limit that is used or reserved, 0 to 1. */
export const share = ({ limit, used, reserved }: Figure) => Math.min(1, (used + reserved) / limit)

/** Asks the project lists again, after something has changed. */
export function useChanged() {
  const queries = useQueryClient()
  return () =>
    Promise.all(
      ["/admin/api/projects", "/admin/api/keys", "/admin/api/models"].map((path) =>
        queries.invalidateQueries({ queryKey: ["get", path] }),
      ),
    )
}

export const pathOf = (name: string, tab?: string) =>
  `/projects/${encodeURIComponent(name)}${tab ? `?tab=${tab}` : ""}`
