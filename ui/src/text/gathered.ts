/** Texts by place: `shell`, and each page's by the name of its folder. */
export function gathered(shell: object, pages: Record<string, unknown>): Record<string, object> {
  const found: Record<string, object> = { shell }
  for (const [path, text] of Object.entries(pages)) found[path.split("/").at(-2)!] = text as object
  return found
}
