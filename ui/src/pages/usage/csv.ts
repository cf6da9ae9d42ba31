/** Tables for spreadsheets, made from what the page shows. */

/** RFC 4180. A spreadsheet takes a cell that begins with one of these signs for a formula; a quote before it tells it
 * not to. */
export function csvOf(head: string[], rows: (string | number | null)[][]): string {
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n"
}

function cell(value: string | number | null): string {
  if (value == null) return ""
  if (typeof value === "number") return String(value)
  const safe = /^[\s]*[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

export function download(name: string, text: string) {
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }))
  const link = document.createElement("a")
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 1000)
}
