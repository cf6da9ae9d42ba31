/** Which servers were asked for a request, when, why, and what came of each: one bar a server on one axis of time. */
import { Anchor, Badge, Group, Text, VisuallyHidden } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { duration, number } from "../../parts/format"
import { chartOf, type Detail, type Lane } from "./lanes"
import css from "./Waterfall.module.css"

const share = (ms: number, whole: number) => `${Math.min(100, (ms / whole) * 100).toFixed(3)}%`

export function Waterfall({ request }: { request: Detail }) {
  const { t } = useTranslation("requests")
  const { lanes, queued, whole, ticks } = chartOf(request)
  if (!lanes.length)
    return (
      <Text size="sm" c="dimmed">
        {t(request.attempt_count ? "waterfall.gone" : "waterfall.none")}
      </Text>
    )
  return (
    <div className={css.chart}>
      <div className={css.axis} aria-hidden>
        {ticks.map((tick) => (
          <span key={tick} style={{ left: share(tick, whole) }} data-last={tick > whole * 0.93 || undefined}>
            {duration(tick)}
          </span>
        ))}
      </div>
      <ol className={css.lanes} aria-label={t("waterfall.title")}>
        {lanes.map((lane) => (
          <Attempt
            key={lane.attempt.number}
            lane={lane}
            whole={whole}
            ticks={ticks}
            first={request.ttft_ms}
          />
        ))}
      </ol>
      <Group gap="md" mt={6} aria-hidden className={css.legend}>
        <span data-part="wait">{t("waterfall.waits")}</span>
        <span data-part="stream">{t("waterfall.streams")}</span>
        <span data-part="fault">{t("waterfall.fails")}</span>
        <span data-part="left">{t("waterfall.given_up")}</span>
        {request.ttft_ms != null && <span data-part="first">{t("waterfall.client_first")}</span>}
      </Group>
      <Text size="xs" c="dimmed" mt={6}>
        {queued >= 1 && t("waterfall.queued", { time: duration(queued) })}{" "}
        {request.attempt_count > lanes.length &&
          t("waterfall.kept", { count: lanes.length, of: number(request.attempt_count) })}
      </Text>
    </div>
  )
}

interface Props {
  lane: Lane
  whole: number
  ticks: number[]
  /** The client's first token. */
  first: number | null
}

function Attempt({ lane: { attempt, begin, first: firstHere, end }, whole, ticks, first }: Props) {
  const { t } = useTranslation("requests")
  const name = attempt.server ?? attempt.server_id
  const ended = attempt.outcome === "ok" ? "ok" : attempt.outcome === "cancelled" ? "left" : "fault"
  const outcome = t(`faults.${attempt.outcome}`, { defaultValue: attempt.outcome })
  const why = t(`why.${attempt.why}`)
  const after = attempt.after
    ? t("waterfall.after", { fault: t(`faults.${attempt.after}`, { defaultValue: attempt.after }) })
    : ""
  const told = [
    t("waterfall.told", {
      number: attempt.number,
      server: name,
      why,
      after: after && `, ${after}`,
      begin: duration(begin),
    }),
    firstHere == null
      ? t("waterfall.told_nothing")
      : t("waterfall.told_first", { time: duration(attempt.ttft_ms) }),
    t("waterfall.told_end", { outcome, time: duration(attempt.duration_ms) }),
  ].join(" ")
  return (
    <li>
      <VisuallyHidden>{told}</VisuallyHidden>
      <Group gap={8} wrap="nowrap" className={css.head}>
        <Text span size="xs" c="dimmed" className="numbers" aria-hidden>
          {attempt.number}
        </Text>
        <Anchor
          component={Link}
          to={`/fleet?id=${encodeURIComponent(attempt.server_id)}`}
          size="sm"
          fw={550}
          truncate
        >
          {name}
        </Anchor>
        <Badge
          size="xs"
          color={attempt.why === "race" || attempt.why === "continuation" ? "blue" : "gray"}
          aria-hidden
        >
          {why}
        </Badge>
        <Text span size="xs" c="dimmed" truncate aria-hidden>
          {after}
        </Text>
        <Text span size="xs" ml="auto" className={css.outcome} data-ended={ended} aria-hidden>
          {outcome} · {duration(attempt.duration_ms)}
        </Text>
      </Group>
      <div className={css.track} aria-hidden>
        {ticks.map((tick) => (
          <i key={tick} className={css.line} style={{ left: share(tick, whole) }} />
        ))}
        <i
          className={css.bar}
          data-part={firstHere == null ? (ended === "ok" ? "wait" : ended) : "wait"}
          style={{ left: share(begin, whole), width: share((firstHere ?? end) - begin, whole) }}
        />
        {firstHere != null && (
          <i
            className={css.bar}
            data-part={ended === "ok" ? "stream" : ended}
            style={{ left: share(firstHere, whole), width: share(end - firstHere, whole) }}
          />
        )}
        {first != null && <i className={css.first} style={{ left: share(first, whole) }} />}
      </div>
      {(attempt.detail || attempt.tokens_wasted > 0 || attempt.tokens_output > 0) && (
        <Text size="xs" c="dimmed" className={css.detail}>
          {[
            attempt.detail,
            attempt.tokens_output > 0 && t("waterfall.gave", { count: attempt.tokens_output }),
            attempt.tokens_wasted > 0 && t("waterfall.wasted", { count: attempt.tokens_wasted }),
          ]
            .filter(Boolean)
            .join(" · ")}
        </Text>
      )}
    </li>
  )
}
