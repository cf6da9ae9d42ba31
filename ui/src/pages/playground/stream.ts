/** One answer, as it comes: the playground's own reader of OpenAI's chunks. */
import { failure, headers, root, type Shape } from "../../api/client"

export interface Message {
  role: "system" | "user" | "assistant"
  content: string
}

/** An answer so far. Times are milliseconds from when it was asked for. */
export interface Said {
  text: string
  thought: string
  state: "running" | "done" | "stopped" | "failed"
  error?: string
  firstMs?: number
  totalMs?: number
  tokens?: number
  prompt?: number
  finish?: string
  server?: string
  model?: string
  attempts?: number
  requestId?: string
}

interface Chunk {
  error?: { message: string }
  choices?: {
    delta: { content?: string; reasoning_content?: string; reasoning?: string }
    finish_reason: string | null
  }[]
  usage?: { prompt_tokens: number; completion_tokens: number } | null
}

/** Tokens per second from the first content on; unknown for answers of one piece. */
export const speed = ({ tokens, firstMs, totalMs }: Said): number | null =>
  tokens && tokens > 1 && firstMs != null && totalMs != null && totalMs - firstMs > 20
    ? (tokens - 1) / ((totalMs - firstMs) / 1000)
    : null

export async function ask(
  body: Shape["Play"],
  signal: AbortSignal,
  tell: (said: Said) => void,
): Promise<void> {
  const began = performance.now()
  const since = () => performance.now() - began
  let said: Said = { text: "", thought: "", state: "running" }
  const change = (changes: Partial<Said>) => tell((said = { ...said, ...changes }))
  try {
    const response = await fetch(`${root}/admin/api/playground/chat`, {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", ...headers() },
      body: JSON.stringify(body),
      signal,
    })
    if (!response.ok || !response.body) throw await failure(response)
    change({
      server: response.headers.get("x-gateway-server") ?? undefined,
      model: response.headers.get("x-gateway-model") ?? undefined,
      attempts: Number(response.headers.get("x-gateway-attempts")) || undefined,
      requestId: response.headers.get("x-request-id") ?? undefined,
    })
    for await (const data of events(response.body)) {
      if (data === "[DONE]") break
      const chunk = JSON.parse(data) as Chunk
      if (chunk.error) throw new Error(chunk.error.message)
      const choice = chunk.choices?.[0]
      const text = said.text + (choice?.delta.content ?? "")
      const thought = said.thought + (choice?.delta.reasoning_content ?? choice?.delta.reasoning ?? "")
      change({
        text,
        thought,
        firstMs: said.firstMs ?? (text || thought ? since() : undefined),
        finish: choice?.finish_reason ?? said.finish,
        tokens: chunk.usage?.completion_tokens ?? said.tokens,
        prompt: chunk.usage?.prompt_tokens ?? said.prompt,
      })
    }
    change({ state: "done", totalMs: since() })
  } catch (error) {
    if (signal.aborted) change({ state: "stopped", totalMs: since() })
    else change({ state: "failed", error: (error as Error).message, totalMs: since() })
  }
}

/** The `data` of each event. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader()
  let kept = ""
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    kept += value
    const frames = kept.split("\n\n")
    kept = frames.pop() ?? ""
    for (const frame of frames) {
      const lines = frame.split("\n").filter((line) => line.startsWith("data: "))
      if (lines.length) yield lines.map((line) => line.slice(6)).join("\n")
    }
  }
}
