import { ActionIcon, Progress, Text, Tooltip } from "@mantine/core"
import { IconListSearch } from "@tabler/icons-react"
import type { TFunction } from "i18next"
import { Link } from "react-router"

import type { ColumnOf } from "../../parts/DataTable"
import { compact, cost, duration, percent } from "../../parts/format"
import classes from "./usage.module.css"
import { type Dimension, filtersOf, type Metric, type MetricName, nameOf, type Row } from "./figures"

interface Wanted {
  groups: Dimension[]
  metric: Metric
  metricName: MetricName
  /** Of the metric, over all groups. */
  total: number
  priced: boolean
  link: (filters: Record<string, string>) => string
}

/** The groups, the metric with its share, and beside it the figures that are always of interest. */
export function columnsOf(t: TFunction<"usage">, wanted: Wanted): ColumnOf<Row>[] {
  const { groups, metric, metricName, total, link } = wanted
  const named: ColumnOf<Row>[] = groups.map((dimension) => ({
    id: dimension,
    title: t(`dimensions.${dimension}`),
    sort: (row) => nameOf(row, dimension),
    cell: (row) =>
      nameOf(row, dimension) ?? (
        <Text span inherit c="dimmed">
          {t(`no.${dimension}`)}
        </Text>
      ),
  }))
  const figure = (
    id: string,
    of: (row: Row) => number | null,
    shown: (value: number | null) => string,
  ): ColumnOf<Row> => ({
    id,
    title: t(`columns.${id}`, { defaultValue: t(`metrics.${id}`) }),
    right: true,
    sort: of,
    cell: (row) => shown(of(row)),
  })
  const chosen = figure(metricName, metric.of, metric.shown)
  const share: ColumnOf<Row>[] =
    metric.adds && groups.length
      ? [
          {
            id: "share",
            title: t("columns.share"),
            width: 150,
            sort: metric.of,
            cell: (row) => {
              const part = total ? metric.of(row)! / total : 0
              return (
                <div className={classes.share}>
                  <Progress value={Math.round(part * 1000) / 10} size={5} aria-label={t("columns.share")} />
                  <span>{percent(part)}</span>
                </div>
              )
            },
          },
        ]
      : []
  const others = [
    figure("requests", (row) => row.requests, compact),
    figure("error_share", (row) => (row.requests ? row.errors / row.requests : null), percent),
    figure("saved", (row) => row.saved, compact),
    figure("tokens_input", (row) => row.tokens_input, compact),
    figure("tokens_output", (row) => row.tokens_output, compact),
    ...(wanted.priced ? [figure("cost", (row) => row.cost, cost)] : []),
    figure("latency_ms_p95", (row) => row.latency_ms_p95, duration),
    figure("ttft_ms_p95", (row) => row.ttft_ms_p95, duration),
  ].filter(({ id }) => id !== metricName)
  return [
    ...named,
    chosen,
    ...share,
    ...others,
    {
      id: "open",
      title: "",
      width: 40,
      cell: (row) => {
        const filters = filtersOf(row, groups)
        return (
          filters && (
            <Tooltip label={t("open")}>
              <ActionIcon component={Link} to={link(filters)} aria-label={t("open")} size="sm">
                <IconListSearch size={15} />
              </ActionIcon>
            </Tooltip>
          )
        )
      },
    },
  ]
}
