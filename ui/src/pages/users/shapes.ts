import type { Shape } from "../../api/client"

export type User = Shape["User"]
export type Role = User["role"]
export type Changes = Shape["UserChanges"]

export const roles: Role[] = ["viewer", "editor", "owner"]

const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
const GROUPS = 5
const OF = 5

/** A password to pass on: 125 random bits, in groups that people can read out. */
export function makePassword(): string {
  const dice = crypto.getRandomValues(new Uint8Array(GROUPS * OF))
  const text = [...dice].map((value) => LETTERS[value % LETTERS.length]).join("")
  return text.match(new RegExp(`.{${OF}}`, "g"))!.join("-")
}
