import { Card, SimpleGrid, Text, Title } from "@mantine/core"
import type { ReactNode } from "react"
import { useTranslation } from "react-i18next"
import { useNavigate } from "react-router"

import { BarChart, LineChart } from "../../parts/Charts"
import { compact, duration } from "../../parts/format"
import { stepLabel, stepRange } from "../../parts/steps"
import type { Point } from "./series"

const HEIGHT = 220

interface Props {
  points: Point[]
  /** Seconds. */
  step: number
  compare: boolean
  link: (page: "requests", filters?: Record<string, string>) => string
}

/** How it went over the time: endings, latencies, tokens. A click on a step opens its requests. */
export function Courses({ points, step, compare, link }: Props) {
  const { t } = useTranslation("overview")
  const navigate = useNavigate()
  const open = (state: { activeTooltipIndex?: unknown }) => {
    const point = points[Number(state.activeTooltipIndex)]
    if (point) void navigate(link("requests", { range: stepRange(point.at, step) }))
  }
  const data = points.map((point) => ({ ...point, label: stepLabel(point.at, step) }))
  const shared = {
    h: HEIGHT,
    data,
    dataKey: "label",
    withLegend: true,
    legendProps: { itemSorter: null },
    tickLine: "none" as const,
  }
  const bars = { maxBarWidth: 26, barChartProps: { onClick: open, barCategoryGap: "18%" } }
  const before = (name: string) =>
    compare ? [{ name, label: t("chart.before"), color: "gray.5", stackId: "before" }] : []

  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="sm">
      <Framed title={t("chart.requests")} about={t("chart.requestsAbout")} wide>
        <BarChart
          {...shared}
          {...bars}
          type="stacked"
          valueFormatter={compact}
          series={[
            { name: "ok", label: t("chart.ok"), color: "brand.5", stackId: "now" },
            { name: "client", label: t("chart.client"), color: "yellow.6", stackId: "now" },
            { name: "server", label: t("chart.server"), color: "red.6", stackId: "now" },
            ...before("requestsBefore"),
          ]}
        />
      </Framed>
      <Framed title={t("chart.latency")} about={t("chart.latencyAbout")}>
        <LineChart
          {...shared}
          valueFormatter={duration}
          curveType="linear"
          connectNulls={false}
          withDots={points.length < 40}
          dotProps={{ r: 2 }}
          strokeWidth={1.6}
          series={[
            { name: "p50", label: t("chart.p50"), color: "brand.5" },
            { name: "p95", label: t("chart.p95"), color: "orange.6" },
            { name: "first95", label: t("chart.first95"), color: "teal.6" },
            ...(compare
              ? [
                  {
                    name: "p95Before",
                    label: t("chart.p95Before"),
                    color: "gray.5",
                    strokeDasharray: "4 3",
                  },
                ]
              : []),
          ]}
          lineChartProps={{ onClick: open }}
        />
      </Framed>
      <Framed title={t("chart.tokens")} about={t("chart.tokensAbout")}>
        <BarChart
          {...shared}
          {...bars}
          type="stacked"
          valueFormatter={compact}
          series={[
            { name: "input", label: t("chart.input"), color: "brand.3", stackId: "now" },
            { name: "output", label: t("chart.output"), color: "brand.6", stackId: "now" },
            ...before("tokensBefore"),
          ]}
        />
      </Framed>
    </SimpleGrid>
  )
}

function Framed({
  title,
  about,
  wide,
  children,
}: {
  title: string
  about: string
  wide?: boolean
  children: ReactNode
}) {
  return (
    <Card
      padding="md"
      component="section"
      aria-label={title}
      style={wide ? { gridColumn: "1 / -1" } : undefined}
    >
      <Title order={2} size="sm" fw={600}>
        {title}
      </Title>
      <Text size="xs" c="dimmed" mb="sm">
        {about}
      </Text>
      {children}
    </Card>
  )
}
