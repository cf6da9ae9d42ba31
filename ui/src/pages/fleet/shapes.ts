import type { QueryClient } from "@tanstack/react-query"

import type { Shape } from "../../api/client"

export type Server = Shape["ServerView"]
export type State = Server["state"]
export type Action = Shape["Many"]["action"]

/** Worst last, as people look for it. */
export const STATES: State[] = ["healthy", "resting", "quarantined", "disabled", "unknown"]

export const COLOURS: Record<State, string> = {
  healthy: "teal.6",
  resting: "orange.6",
  quarantined: "red.6",
  disabled: "gray.5",
  unknown: "blue.4",
}

/** The name of the source of servers that were added here, which can be changed and removed here. */
export const ADDED = "admin"

/** Something was done to servers: what is shown of them is asked again, but not of one that is `gone`. */
export const changed = (queries: QueryClient, gone?: string) =>
  queries.invalidateQueries({
    predicate: ({ queryKey: [, path, init] }) =>
      /^\/admin\/api\/(servers|sources|catalogue|models)/.test(String(path)) &&
      !(gone && (init as Asked | undefined)?.params?.path?.server === gone),
  })

interface Asked {
  params?: { path?: { server?: string } }
}
