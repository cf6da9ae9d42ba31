/** What happens in the gateway, as it happens: one stream for all of a tab, open while a page that needs it is seen. */
import { useEffect, useSyncExternalStore } from "react"

import { failure, root, type Shape } from "../api/client"

export type Ended = Shape["LoggedRequest"]
export type InFlightList = Shape["InFlightList"]
export interface ServerChange {
  id: string
  name: string
  state: string
  before: string | null
  reason: string | null
  at: string
}
export interface Feed {
  /** `waiting`: for the next try to connect. */
  state: "off" | "connecting" | "open" | "waiting"
  /** Requests that have ended, the latest first. */
  ended: Ended[]
  inFlight: InFlightList | null
  /** When the list came, on this page's own clock: ages go on from there. */
  listed: number
  /** How many servers are in which state. */
  servers: Record<string, number>
  /** The latest first. */
  changes: ServerChange[]
  /** Why there is no stream. */
  error: string | null
}

const KEPT = 500 // requests that have ended
const CHANGES = 50
const SILENCE = 40_000 // ms; the gateway says something every 15 s
const FIRST_WAIT = 1000 // ms, doubled with every try
const LONGEST_WAIT = 30_000

let feed: Feed = { state: "off", ended: [], inFlight: null, listed: 0, servers: {}, changes: [], error: null }
const watchers = new Set<() => void>()
let users = 0
let lastId = ""
let tries = 0
let wait: ReturnType<typeof setTimeout> | undefined
let connection: AbortController | undefined

function change(changes: Partial<Feed>) {
  feed = { ...feed, ...changes }
  for (const tell of watchers) tell()
}

function take(name: string, data: string): Partial<Feed> {
  const value = JSON.parse(data) as never
  switch (name) {
    case "hello": {
      const hello = value as {
        requests: Ended[]
        resumed: boolean
        in_flight: InFlightList
        servers: Feed["servers"]
      }
      const fresh = hello.requests.toReversed()
      return {
        ended: (hello.resumed ? [...fresh, ...feed.ended] : fresh).slice(0, KEPT),
        inFlight: hello.in_flight,
        listed: performance.now(),
        servers: hello.servers,
      }
    }
    case "request":
      return { ended: [value as Ended, ...feed.ended].slice(0, KEPT) }
    case "inflight":
      return { inFlight: value, listed: performance.now() }
    case "server": {
      const turned = value as ServerChange
      const servers = { ...feed.servers, [turned.state]: (feed.servers[turned.state] ?? 0) + 1 }
      if (turned.before) servers[turned.before] = Math.max(0, (servers[turned.before] ?? 0) - 1)
      return { servers, changes: [turned, ...feed.changes].slice(0, CHANGES) }
    }
    default:
      return {}
  }
}

/** Server-sent events (HTML, section 9.2), as far as the gateway uses them: one `data` line each. */
async function read(body: ReadableStream<Uint8Array<ArrayBuffer>>, heard: () => void) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ""
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    heard()
    const events = (rest + value).split("\n\n")
    rest = events.pop() ?? ""
    const before = feed
    for (const event of events) {
      const lines = new Map(event.split("\n").map((line) => line.split(/: (.*)/s, 2) as [string, string]))
      lastId = lines.get("id") ?? lastId
      const data = lines.get("data")
      if (data) feed = { ...feed, ...take(lines.get("event") ?? "", data) }
    }
    if (feed !== before) change({})
  }
}

async function connect() {
  clearTimeout(wait)
  const mine = (connection = new AbortController())
  change({ state: "connecting" })
  let silence: ReturnType<typeof setTimeout> | undefined
  const heard = () => {
    clearTimeout(silence)
    silence = setTimeout(() => mine.abort(), SILENCE)
  }
  let error: string | null = null
  let pause = 0
  try {
    heard()
    const headers: Record<string, string> = lastId ? { "Last-Event-ID": lastId } : {}
    const response = await fetch(`${root}/admin/api/live/feed`, {
      headers,
      credentials: "same-origin",
      signal: mine.signal,
    })
    if (!response.ok || !response.body) {
      pause = Number(response.headers.get("Retry-After") ?? 0) * 1000
      throw await failure(response)
    }
    tries = 0
    change({ state: "open", error: null })
    await read(response.body, heard)
  } catch (problem) {
    error = (problem as Error).message
  } finally {
    clearTimeout(silence)
  }
  if (connection !== mine) return // closed on purpose, or there is a newer one
  pause = Math.max(pause, Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** tries++)) * (0.8 + Math.random() * 0.4)
  change({ state: "waiting", error })
  wait = setTimeout(() => void connect(), pause)
}

function disconnect() {
  clearTimeout(wait)
  const old = connection
  connection = undefined
  old?.abort()
  change({ state: "off" })
}

/** Connects again without waiting for the next try. */
export function reconnect() {
  disconnect()
  tries = 0
  void connect()
}

function follow() {
  if (users > 0 && !document.hidden) {
    if (!connection) void connect()
  } else if (connection) disconnect()
}
document.addEventListener("visibilitychange", follow)
addEventListener("pagehide", disconnect)

/** What `select` takes of the feed; the page that uses it keeps the stream open. */
export function useFeed<T>(select: (feed: Feed) => T): T {
  useEffect(() => {
    users++
    follow()
    return () => {
      users--
      setTimeout(follow, 200) // a page that comes next may need it, too
    }
  }, [])
  return useSyncExternalStore(
    (tell) => {
      watchers.add(tell)
      return () => watchers.delete(tell)
    },
    () => select(feed),
  )
}
