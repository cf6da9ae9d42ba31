/** Who is signed in. The session itself is an HttpOnly cookie: nothing secret is kept here. */
import { useQuery } from "@tanstack/react-query"

import { api, ApiError, rememberCsrf, type Shape } from "../api/client"
import { queries } from "../api/queries"

export type Session = Shape["Session"]
const KEY = ["session"]

async function ask(): Promise<Session | null> {
  try {
    const { data } = await api.GET("/admin/api/session")
    rememberCsrf(data!.csrf ?? "")
    return data!
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null
    throw error
  }
}

export const useSession = () => useQuery({ queryKey: KEY, queryFn: ask, staleTime: Infinity })

export async function signIn(body: Shape["SignIn"]) {
  const { data } = await api.POST("/admin/api/session", { body })
  rememberCsrf(data!.csrf ?? "")
  queries.setQueryData(KEY, data)
}

export async function signOut() {
  await api.DELETE("/admin/api/session").catch(() => undefined)
  forget()
}

/** The session is over: everything that it had loaded goes, too. */
export function forget() {
  rememberCsrf("")
  queries.setQueryData(KEY, null)
  queries.removeQueries({ predicate: (query) => query.queryKey[0] !== KEY[0] })
}

const rank = { viewer: 0, editor: 1, owner: 2 }

/** Whether the signed-in user may do what this role may; buttons for it are shown greyed otherwise. */
export function useMay(role: keyof typeof rank): boolean {
  const { data } = useSession()
  return !!data && rank[data.user.role] >= rank[role]
}
