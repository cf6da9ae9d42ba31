import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query"
import { useMemo } from "react"

interface Page<T> {
  data: T[]
  next_cursor: string | null
}

/** A list that is read page by page, and holds still: it is asked anew only when its key is another one. */
export function usePages<T>(key: readonly unknown[], ask: (cursor: string | undefined) => Promise<Page<T>>) {
  const list = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => ask(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    staleTime: Infinity,
    placeholderData: keepPreviousData,
  })
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.data), [list.data])
  return { ...list, rows }
}
