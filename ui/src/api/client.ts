/** The admin API, typed by its OpenAPI description (`npm run api` makes `schema.d.ts`). */
import createFetch from "openapi-fetch"
import createQueries from "openapi-react-query"

import type { components, paths } from "./schema"

/** Where the gateway is: everything before `/admin/`, so that a proxy's prefix is kept. */
export const root = location.origin + location.pathname.replace(/\/admin\/.*$/, "")

/** The session's token against forged requests. In memory only: scripts of other pages can not read it. */
let csrf = ""
export const rememberCsrf = (token: string) => {
  csrf = token
}
export const headers = (): Record<string, string> => (csrf ? { "X-CSRF-Token": csrf } : {})

/** What the API says of an error; `status` 0: the gateway was not reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code = "",
    readonly requestId = "",
    readonly param: string | null = null,
  ) {
    super(message)
  }
}

/** Told when a session has ended; the shell shows the sign-in page then. */
export const signedOut = new EventTarget()

export async function failure(response: Response): Promise<ApiError> {
  let error: Record<string, string | null> = {}
  try {
    error = ((await response.json()) as { error: Record<string, string | null> }).error ?? {}
  } catch {
    /* not JSON: a proxy's page, say */
  }
  if (response.status === 401 && !new URL(response.url).pathname.endsWith("/session"))
    signedOut.dispatchEvent(new Event("out"))
  const message = error.message ?? `${response.status} ${response.statusText}`
  return new ApiError(response.status, message, error.code ?? "", error.request_id ?? "", error.param ?? null)
}

export const api = createFetch<paths>({ baseUrl: root, credentials: "same-origin" })
api.use({
  onRequest({ request }) {
    if (csrf && request.method !== "GET") request.headers.set("X-CSRF-Token", csrf)
  },
  async onResponse({ response }) {
    if (!response.ok) throw await failure(response)
  },
  onError() {
    return new ApiError(0, "The gateway can not be reached.", "unreachable")
  },
})

/** `use.useQuery("get", path, {params})`, `use.useMutation("post", path)`. */
export const use = createQueries(api)

export type Shape = components["schemas"]
