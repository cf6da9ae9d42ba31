/** Numbers and times as people of the chosen language read them. `null` is unknown, and shown as a dash. */
import i18n from "i18next"

export const DASH = "–"
type Maybe = number | null | undefined

export const number = (value: Maybe, digits = 0): string =>
  value == null ? DASH : value.toLocaleString(i18n.language, { maximumFractionDigits: digits })

/** 12,300 → 12.3K. */
export const compact = (value: Maybe): string =>
  value == null
    ? DASH
    : value.toLocaleString(i18n.language, {
        notation: "compact",
        maximumFractionDigits: value < 1000 ? 0 : 1,
      })

export const percent = (share: Maybe, digits = 1): string =>
  share == null
    ? DASH
    : share.toLocaleString(i18n.language, { style: "percent", maximumFractionDigits: digits })

/** 850 → 850 ms, 12,340 → 12.3 s, 150,000 → 2 min 30 s. */
export function duration(ms: Maybe): string {
  if (ms == null) return DASH
  if (ms < 1000) return `${number(ms, ms < 10 ? 1 : 0)} ms`
  if (ms < 60_000) return `${number(ms / 1000, ms < 10_000 ? 2 : 1)} s`
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60_000) / 1000)} s`
  return minutes < 2880
    ? `${Math.floor(minutes / 60)} h ${minutes % 60} min`
    : `${number(Math.floor(minutes / 1440))} d`
}

export function bytes(value: Maybe): string {
  if (value == null) return DASH
  const units = ["B", "KB", "MB", "GB", "TB"]
  let step = 0
  while (value >= 1000 && step < units.length - 1) {
    value /= 1000
    step++
  }
  return `${number(value, value < 10 && step ? 1 : 0)} ${units[step]}`
}

export const cost = (value: Maybe): string =>
  value == null ? DASH : number(value, value !== 0 && Math.abs(value) < 0.01 ? 6 : 2)

const KEPT = "llmgw-utc"
export const inUtc = (): boolean => localStorage.getItem(KEPT) === "1"
export const setUtc = (utc: boolean): void => localStorage.setItem(KEPT, utc ? "1" : "0")

export const absolute = (iso: string, withSeconds = true): string =>
  new Date(iso).toLocaleString(i18n.language, {
    dateStyle: "medium",
    timeStyle: withSeconds ? "medium" : "short",
    timeZone: inUtc() ? "UTC" : undefined,
  }) + (inUtc() ? " UTC" : "")

export const timeOfDay = (iso: string): string =>
  new Date(iso).toLocaleTimeString(i18n.language, {
    timeStyle: "medium",
    timeZone: inUtc() ? "UTC" : undefined,
  })

/** “3 minutes ago”, “in 2 hours”. */
export function relative(iso: string, now = Date.now()): string {
  const seconds = (new Date(iso).getTime() - now) / 1000
  const form = new Intl.RelativeTimeFormat(i18n.language, { numeric: "auto", style: "short" })
  const size = Math.abs(seconds)
  if (size < 45) return form.format(Math.round(seconds), "second")
  if (size < 3570) return form.format(Math.round(seconds / 60), "minute")
  if (size < 84_600) return form.format(Math.round(seconds / 3600), "hour")
  return form.format(Math.round(seconds / 86_400), "day")
}
