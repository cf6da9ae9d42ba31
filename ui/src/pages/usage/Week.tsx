import { Group, Skeleton, Text, Tooltip, VisuallyHidden } from "@mantine/core"
import i18n from "i18next"
import { type KeyboardEvent, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import type { Shape } from "../../api/client"
import { DASH, number } from "../../parts/format"
import type { Metric, MetricName } from "./figures"
import css from "./usage.module.css"
import { aheadOf, averages, type Cell, HOURS, levelOf, weekOf } from "./week"

interface Props {
  found: Shape["StatList"] | undefined
  metric: Metric
  metricName: MetricName
  /** The requests of a range. */
  link: (range: string) => string
}

const EVENTS = { hover: true, focus: true, touch: true }
const STEPS: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 24, ArrowUp: -24 }
/** Which hour it is, the figure, and what it is made of. */
type Said = [string, string, string]
const two = (hour: number) => String(hour).padStart(2, "0")

/** When in the week it happens: days by hours, each with its figure, deeper where it is more. */
export function Week({ found, metric, metricName, link }: Props) {
  const { t } = useTranslation("usage")
  const [at, setAt] = useState(0)
  const ahead = found ? aheadOf(found.until) : 0
  const cells = useMemo(
    () => found && weekOf(found.data, found.since, found.until, ahead, metric),
    [found, ahead, metric],
  )
  const days = useMemo(() => {
    const named = new Intl.DateTimeFormat(i18n.language, { weekday: "long", timeZone: "UTC" })
    return Array.from({ length: 7 }, (_, day) => named.format(Date.UTC(2024, 0, 1 + day))) // a Monday
  }, [i18n.language])
  if (!found || !cells) return <Skeleton h={300} />
  const most = Math.max(0, ...cells.map(({ value }) => value ?? 0))
  const mean = metric.adds && averages(found.since, found.until)

  function walk(event: KeyboardEvent<HTMLTableElement>) {
    const next = at + (STEPS[event.key] ?? 0)
    if (next === at || next < 0 || next >= HOURS) return
    event.preventDefault()
    event.currentTarget.querySelector<HTMLElement>(`[data-at="${next}"]`)?.focus()
  }

  function said(index: number, { value, within, requests }: Cell): Said {
    const hour = index % 24
    const time = `${days[Math.floor(index / 24)]} ${two(hour)}:00–${two(hour + 1)}:00`
    if (!within) return [`${time}: ${t("week.outside")}`, "", ""]
    const count = metricName === "requests" && !mean ? "" : ` (${t("week.of", { count: requests })})`
    return [`${time}: ${t(`metrics.${metricName}`)} `, value == null ? DASH : metric.brief(value), count]
  }

  return (
    <>
      <div className={css.scroller}>
        <table className={css.week} role="grid" aria-label={t("week.title")} onKeyDown={walk}>
          <thead>
            <tr>
              <td />
              {Array.from({ length: 24 }, (_, hour) => (
                <th key={hour} scope="col">
                  {two(hour)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {days.map((day, row) => (
              <tr key={day}>
                <th scope="row">{day}</th>
                {cells.slice(row * 24, row * 24 + 24).map((cell, column) => {
                  const index = row * 24 + column
                  return (
                    <Hour
                      key={column}
                      index={index}
                      focusable={index === at}
                      onFocus={() => setAt(index)}
                      to={cell.range && cell.requests ? link(cell.range) : null}
                      said={said(index, cell)}
                      empty={!cell.value}
                      level={cell.within ? levelOf(cell.value, most) : null}
                    />
                  )
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Group justify="space-between" mt="xs" gap="xs">
        <Text size="xs" c="dimmed">
          {t(mean ? "week.mean" : metric.adds ? "week.sum" : "week.figure")}{" "}
          {t("week.zone", { zone: ahead ? `UTC${ahead > 0 ? "+" : "−"}${number(Math.abs(ahead))}` : "UTC" })}
        </Text>
        <Group gap={4} aria-hidden>
          <Text size="xs" c="dimmed" mr={4}>
            {metric.shown(0)}
          </Text>
          {[0, 1, 2, 3, 4].map((level) => (
            <span key={level} className={css.hour} data-level={level} data-legend />
          ))}
          <Text size="xs" c="dimmed" ml={4}>
            {metric.shown(most)}
          </Text>
        </Group>
      </Group>
    </>
  )
}

interface HourProps {
  index: number
  focusable: boolean
  onFocus: () => void
  /** Where it leads, if anywhere. */
  to: string | null
  said: Said
  /** Is there nothing worth showing? */
  empty: boolean
  /** null: not in the range. */
  level: number | null
}

/** Its name is all that is said of it; what is seen is the figure. */
function Hour({ index, focusable, onFocus, to, said, empty, level }: HourProps) {
  const [time, figure, count] = said
  const shared = {
    "data-at": index,
    "data-level": level ?? "outside",
    tabIndex: focusable ? 0 : -1,
    onFocus,
    className: css.hour,
  }
  const text = (
    <>
      <VisuallyHidden>{time}</VisuallyHidden>
      {empty ? <VisuallyHidden>{figure}</VisuallyHidden> : figure}
      <VisuallyHidden>{count}</VisuallyHidden>
    </>
  )
  const label = said.join("")
  return to ? (
    <td>
      <Tooltip label={label} events={EVENTS}>
        <Link to={to} {...shared}>
          {text}
        </Link>
      </Tooltip>
    </td>
  ) : (
    <Tooltip label={label} events={EVENTS}>
      <td {...shared}>{text}</td>
    </Tooltip>
  )
}
