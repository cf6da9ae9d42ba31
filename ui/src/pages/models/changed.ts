import type { QueryClient } from "@tanstack/react-query"

/** A name means something else now: whatever was said of names is asked again. */
export const changed = (queries: QueryClient) =>
  queries.invalidateQueries({
    predicate: ({ queryKey }) => {
      const path = String(queryKey[1])
      return path.startsWith("/admin/api/models") || path === "/admin/api/catalogue"
    },
  })
