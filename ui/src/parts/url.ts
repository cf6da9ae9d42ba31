/** The state of a page lives in its address: it can be linked, kept and gone back to. */
import { useCallback } from "react"
import { useSearchParams } from "react-router"

/** Strings by name; what equals its default is left out of the address. */
export function useUrl<T extends Record<string, string>>(defaults: T) {
  const [search, setSearch] = useSearchParams()
  const values = { ...defaults }
  for (const name in defaults) values[name] = (search.get(name) as T[typeof name]) ?? defaults[name]
  const set = useCallback(
    (changes: Partial<T>, how: { push?: boolean } = {}) =>
      setSearch(
        () => {
          // of the address itself: the one that was rendered last may be older, and a change would be lost
          const next = new URLSearchParams(location.hash.split("?")[1])
          for (const [name, value] of Object.entries(changes))
            if (!value || value === defaults[name]) next.delete(name)
            else next.set(name, value)
          return next
        },
        { replace: !how.push },
      ),
    [setSearch],
  )
  return [values, set] as const
}
