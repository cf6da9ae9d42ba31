import { SimpleGrid, Skeleton } from "@mantine/core"
import { useTranslation } from "react-i18next"

import type { Shape } from "../../api/client"
import { compact, cost, DASH, duration, number, percent } from "../../parts/format"
import { Kpi } from "../../parts/Kpi"
import { type Overview, type Point, successOf, withoutFailover } from "./series"

interface Props {
  found: Overview | undefined
  points: Point[]
  health: Shape["HealthView"] | undefined
  /** Address of a page with this page's range and filters, and these. */
  link: (page: "requests" | "usage", filters?: Record<string, string>) => string
}

/** The figures that say how it goes, each with its change and the way to what is behind it. */
export function Figures({ found, points, health, link }: Props) {
  const { t } = useTranslation("overview")
  if (!found)
    return (
      <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }} spacing="sm" aria-busy>
        {Array.from({ length: 8 }, (_, at) => (
          <Skeleton key={at} h={96} radius="md" />
        ))}
      </SimpleGrid>
    )
  const { current: now, previous: before } = found
  const course = (name: keyof Point) => points.map((point) => point[name] as number | null)
  const success = successOf(now)
  const without = withoutFailover(now)
  const tokens = now.tokens_input + now.tokens_output
  const servers = health?.servers
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }} spacing="sm">
      <Kpi
        label={t("kpi.requests")}
        value={compact(now.requests)}
        now={now.requests}
        before={before.requests}
        trend={course("requests")}
        to={link("requests")}
      />
      <Kpi
        label={t("kpi.success")}
        about={
          without == null
            ? t("kpi.successAbout")
            : `${t("kpi.successAbout")} ${t("kpi.without", { share: percent(without, 2) })}`
        }
        value={percent(success, 2)}
        now={success}
        before={successOf(before)}
        good="more"
        trend={course("success")}
        to={link("requests", { status_class: "5" })}
      />
      <Kpi
        label={t("kpi.saved")}
        about={t("kpi.savedAbout")}
        value={compact(now.saved)}
        now={now.saved}
        before={before.saved}
        trend={course("saved")}
        to={link("usage", { metric: "saved" })}
      />
      <Kpi
        label={t("kpi.servers")}
        about={t("kpi.serversAbout")}
        value={servers ? `${number(servers.healthy ?? 0)} / ${number(servers.total)}` : DASH}
        to="/fleet"
      />
      <Kpi
        label={t("kpi.first")}
        about={t("kpi.firstAbout")}
        value={duration(now.ttft_ms_p50)}
        beside={`p95 ${duration(now.ttft_ms_p95)}`}
        now={now.ttft_ms_p50}
        before={before.ttft_ms_p50}
        good="less"
        trend={course("first50")}
        to={link("usage", { metric: "ttft_ms_p95" })}
      />
      <Kpi
        label={t("kpi.latency")}
        about={t("kpi.latencyAbout")}
        value={duration(now.latency_ms_p50)}
        beside={`p95 ${duration(now.latency_ms_p95)}`}
        now={now.latency_ms_p50}
        before={before.latency_ms_p50}
        good="less"
        trend={course("p50")}
        to={link(
          "requests",
          now.latency_ms_p95 ? { min_latency_ms: String(Math.floor(now.latency_ms_p95)) } : {},
        )}
      />
      <Kpi
        label={t("kpi.tokens")}
        about={t("kpi.tokensAbout", {
          input: compact(now.tokens_input),
          output: compact(now.tokens_output),
        })}
        value={compact(tokens)}
        now={tokens}
        before={before.tokens_input + before.tokens_output}
        trend={course("tokens")}
        to={link("usage", { metric: "tokens" })}
      />
      <Kpi
        label={t("kpi.speed")}
        about={t("kpi.speedAbout")}
        value={number(now.tokens_per_s, 1)}
        now={now.tokens_per_s}
        before={before.tokens_per_s}
        good="more"
        trend={course("speed")}
        to={link("usage", { metric: "tokens_output", by: "backend_model" })}
      />
      {(now.cost > 0 || before.cost > 0) && (
        <Kpi
          label={t("kpi.cost")}
          about={t("kpi.costAbout")}
          value={cost(now.cost)}
          now={now.cost}
          before={before.cost}
          trend={course("cost")}
          to={link("usage", { metric: "cost" })}
        />
      )}
    </SimpleGrid>
  )
}
