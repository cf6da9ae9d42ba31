import { Button, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { type Ended, useFeed } from "../../parts/feed"
import { duration, number } from "../../parts/format"
import { type FirstRequest, type Fresh } from "./shapes"
import { Step, type Trouble } from "./Step"

/** Which page puts it right. */
const places: Record<string, string> = {
  model_not_found: "/models",
  no_healthy_upstream: "/fleet",
  upstream_timeout: "/fleet",
}

interface Props {
  first: FirstRequest
  fresh?: Fresh
  /** The first request of the fresh key. */
  mine?: Ended
}

/** Waits for the first request of a key just made: the feed tells of it at once. */
export function FreshRequestStep({ first, fresh }: { first: FirstRequest; fresh: Fresh }) {
  const mine = useFeed(({ ended }) => ended.find((row) => row.key_id === fresh.id))
  return <FirstRequestStep first={first} fresh={fresh} mine={mine} />
}

/** Waits for the first request of all. */
export function FirstRequestStep({ first, fresh, mine }: Props) {
  const { t, i18n } = useTranslation("start")
  const wrongKey = first.error_code === "invalid_api_key"
  const seen = mine
    ? {
        state: mine.outcome === "ok" ? "done" : "failed",
        code: mine.error_code,
        id: mine.request_id,
        status: mine.status,
      }
    : fresh && !wrongKey
      ? { state: "active", code: null, id: null, status: null }
      : { state: first.state, code: first.error_code, id: first.request_id, status: first.status }
  const state = seen.state as FirstRequest["state"]

  function trouble(): Trouble | null {
    if (state !== "failed") return null
    const known = seen.code && i18n.exists(`start:causes.${seen.code}.cause`)
    const noPermission = seen.code === "no_permitted_upstream" && fresh
    const place = noPermission
      ? `/projects/${encodeURIComponent(fresh.project)}?tab=policy`
      : (places[seen.code ?? ""] ?? (seen.id ? `/requests?id=${seen.id}` : "/projects"))
    return {
      cause: known
        ? t(`causes.${seen.code}.cause`)
        : t("first.failed", { status: seen.status, code: seen.code ?? "?" }),
      hint: known
        ? t(`causes.${seen.code}.hint`)
        : first.error_code === seen.code
          ? first.hint
          : t("first.look"),
      action: { to: place, label: t(noPermission ? "places.policy" : `places.${place.split(/[/?]/)[1]}`) },
    }
  }

  return (
    <Step state={state} title={t("first.title")} trouble={trouble()}>
      {state === "active" && (
        <Text size="sm" c="dimmed" role="status">
          {t(fresh ? "first.waitingFor" : "first.waiting", { project: fresh?.project })}
        </Text>
      )}
      {state === "done" && (
        <div role="status">
          <Text size="sm" mb="xs">
            {mine
              ? t("first.answered", {
                  model: mine.backend_model ?? mine.model,
                  time: duration(mine.latency_ms),
                  tokens: number(mine.tokens_output),
                })
              : t("first.done")}
            {mine && mine.failovers > 0 && ` ${t("first.saved", { count: mine.failovers })}`}
          </Text>
          {seen.id && (
            <Button component={Link} to={`/requests?id=${seen.id}`} variant="light">
              {t("first.see")}
            </Button>
          )}
        </div>
      )}
    </Step>
  )
}
