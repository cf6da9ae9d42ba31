/** A request as a command to paste. The key is a placeholder: nobody knows it any more. */
import type { Detail } from "./lanes"

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/** What is known of the body where it was not kept. */
function guess({ model, stream, endpoint }: Detail): object {
  if (/embed/.test(endpoint)) return { model, input: "…" }
  if (/\/(generate|completions)$/.test(endpoint) && !/chat/.test(endpoint))
    return { model, prompt: "…", stream }
  if (/responses$/.test(endpoint)) return { model, input: "…", stream }
  if (/^\/v1\/chat(\/stream)?$/.test(endpoint)) return { model, messages: [{ role: "user", content: "…" }] }
  const limit = /messages$/.test(endpoint) ? { max_tokens: 256 } : {}
  return { model, ...limit, messages: [{ role: "user", content: "…" }], stream }
}

export function curlOf(root: string, request: Detail, body: unknown): string {
  const sent = typeof body === "string" ? body : JSON.stringify(body ?? guess(request), null, 2)
  return [
    `curl ${root}${request.endpoint}`,
    `-H "X-API-Key: $LLM_GATEWAY_KEY"`,
    `-H 'Content-Type: application/json'`,
    `-d ${quoted(sent)}`,
  ].join(" \\\n  ")
}
