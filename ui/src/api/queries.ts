import { QueryClient } from "@tanstack/react-query"

import { ApiError } from "./client"

/** Nothing is asked again by itself: pages that want fresh figures say how often, never below ten seconds. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      refetchOnWindowFocus: false,
      retry: (count, error) =>
        count < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 502),
    },
  },
})
