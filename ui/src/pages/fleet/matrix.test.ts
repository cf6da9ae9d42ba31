import { expect, test } from "vitest"

import { columnsOf, heldBy, linesOf, standings } from "./matrix"
import type { Server } from "./shapes"

const server = (name: string, more: Partial<Server> = {}) =>
  ({ name, state: "healthy", trust: "own", models: [], models_out: {}, models_warm: [], ...more }) as Server
const fast = { id: "1", name: "fast", project: null, backend: ["qwen2.5:7b", "llama3.2"] }

test("a logical name stands as the best of what it means does", () => {
  const one = server("a", {
    models: ["llama3.2:latest", "qwen2.5:7b"],
    models_out: { "qwen2.5:7b": "resting" },
    models_warm: ["llama3.2:latest"],
  })
  const [name, ...physical] = linesOf([one], [fast], "")
  expect(heldBy(standings(one), name!)).toBe("warm")
  expect(physical.map((line) => [line.name, heldBy(standings(one), line)])).toEqual([
    ["llama3.2:latest", "warm"],
    ["qwen2.5:7b", "resting"],
  ])
  const pinned = linesOf([one], [{ ...fast, backend: ["qwen2.5:7b@sha256:0123456789ab"] }], "fast")
  expect(pinned.map((line) => heldBy(standings(one), line))).toEqual(["resting"])
})

test("a server that is out takes its models with it, and what it does not list it does not hold", () => {
  const out = server("a", { state: "disabled", models: ["b:1"], models_warm: ["b:1"] })
  const [line] = linesOf([out], [], "")
  expect(heldBy(standings(out), line!)).toBe("disabled")
  expect(heldBy(standings(server("b")), line!)).toBeNull()
})

test("trusted and healthy servers stand first, models that many hold first, and words find them", () => {
  const all = [
    server("z", { trust: "public", models: ["rare:1", "usual:1"] }),
    server("b", { state: "resting", models: ["usual:1"] }),
    server("a"),
  ]
  expect(columnsOf(all).map(({ name }) => name)).toEqual(["a", "b", "z"])
  expect(linesOf(all, [fast], "").map(({ name }) => name)).toEqual(["fast", "usual:1", "rare:1"])
  expect(linesOf(all, [fast], "QWEN").map(({ name }) => name)).toEqual(["fast"])
})
