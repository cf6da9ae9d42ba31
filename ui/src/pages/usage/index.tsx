import { Button, Card, Group, Skeleton, Stack, Text, Title } from "@mantine/core"
import { IconChartBar, IconDownload } from "@tabler/icons-react"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { BarChart, LineChart } from "../../parts/Charts"
import { DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { PageHead } from "../../parts/PageHead"
import { Problem } from "../../parts/Problem"
import { Range, rangeOf } from "../../parts/Range"
import { stepLabel, unix } from "../../parts/steps"
import { useUrl } from "../../parts/url"
import { Views } from "../../parts/Views"
import { columnsOf } from "./columns"
import { Controls, Look, lookOf } from "./Controls"
import { courseOf } from "./course"
import { csvOf, download } from "./csv"
import {
  bucketOf,
  buckets,
  groupsOf,
  keyOf,
  metricOf,
  type MetricName,
  metrics,
  nameOf,
  type Row,
} from "./figures"
import { Week } from "./Week"

const SHOWN = 8 // groups with a colour of their own
const MOST = 200 // groups in the table
const HEIGHT = 300
const defaults = {
  range: "7d",
  metric: "requests",
  by: "project",
  bucket: "",
  look: "",
  sum: "",
  project: "",
  model: "",
}

/** Any figure by any dimension over time: short questions to the roll-ups, for the course (or the week), the whole and the table. */
export default function Usage() {
  const { t } = useTranslation("usage")
  const [url, set] = useUrl(defaults)
  const metric = metricOf(url.metric)
  const metricName = (url.metric in metrics ? url.metric : "requests") as MetricName
  const groups = groupsOf(url.by)
  const range = rangeOf(url.range)
  const seconds = unix(range.until) - unix(range.since)
  const bucket = bucketOf(url.bucket, seconds)
  const filters = { ...range, project: url.project || undefined, model: url.model || undefined }
  const by = groups.join(",")
  const look = lookOf(url.look, url.metric)
  const overTime = look !== "week"
  const course = use.useQuery(
    "get",
    "/admin/api/stats",
    { params: { query: { ...filters, by, bucket, top: by ? SHOWN : undefined, order: metric.order } } },
    { enabled: overTime },
  )
  const whole = use.useQuery(
    "get",
    "/admin/api/stats",
    { params: { query: { ...filters, by: "", bucket } } },
    { enabled: by !== "" && metric.adds && overTime },
  )
  const week = use.useQuery(
    "get",
    "/admin/api/stats",
    { params: { query: { ...filters, by: "hour_of_week" } } },
    { enabled: !overTime },
  )
  const table = use.useQuery("get", "/admin/api/stats", {
    params: { query: { ...filters, by, top: MOST, order: metric.order } },
  })

  const label = (row: Row) =>
    groups.map((name) => nameOf(row, name) ?? t(`no.${name}`)).join(" · ") || t("all")
  const totals = (overTime ? (by ? whole : course) : week).data?.data ?? []
  const drawn = useMemo(() => {
    if (!overTime || !course.data || (by && metric.adds && !whole.data)) return undefined
    const step = buckets[course.data.bucket ?? bucket]
    const found = courseOf(course.data.data, by ? totals : [], {
      since: course.data.since,
      until: course.data.until,
      step,
      metric,
      groups,
      label,
      other: t("other"),
      cumulative: url.sum === "1",
    })
    return {
      series: found.series,
      data: found.data.map((point) => ({
        ...point,
        label: stepLabel(Number(point.at), step, seconds > 86_400),
      })),
    }
  }, [overTime, course.data, whole.data, url.metric, url.by, url.sum, t])
  const total = totals.reduce((sum, row) => sum + (metric.adds ? metric.of(row)! : 0), 0)
  const rows = table.data?.data
  const link = (more: Record<string, string>) => {
    const all = { range: url.range, project: url.project, model: url.model, ...more }
    return `/requests?${new URLSearchParams(Object.entries(all).filter(([, value]) => value)).toString()}`
  }
  const columns = useMemo(
    () =>
      columnsOf(t, { groups, metric, metricName, total, priced: !!rows?.some(({ cost }) => cost > 0), link }),
    [t, url, total, rows],
  )
  const refresh = () =>
    void Promise.all([
      table.refetch(),
      ...(overTime ? [course.refetch(), by && whole.refetch()] : [week.refetch()]),
    ])
  const error = (overTime ? (course.error ?? whole.error) : week.error) ?? table.error
  const chart = drawn && {
    h: HEIGHT,
    data: drawn.data,
    series: drawn.series,
    dataKey: "label",
    withLegend: true,
    legendProps: { itemSorter: null },
    tickLine: "none" as const,
    valueFormatter: metric.shown,
  }

  function save() {
    const figures = columns.filter(
      ({ id }) => id !== "open" && id !== "share" && !groups.includes(id as never),
    )
    const head = [...groups, ...figures.map(({ id }) => id)]
    const lines = (rows ?? []).map((row) => [
      ...groups.map((name) => nameOf(row, name)),
      ...figures.map(({ sort }) => sort!(row) ?? null),
    ])
    download(`usage-${metricName}.csv`, csvOf(head, lines))
  }

  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <Range
          value={url.range}
          onChange={(value) => set({ range: value })}
          refresh={refresh}
          busy={course.isFetching || table.isFetching || week.isFetching}
        />
        <Views page="usage" />
        <Button
          variant="default"
          leftSection={<IconDownload size={15} />}
          onClick={save}
          disabled={!rows?.length}
        >
          {t("export")}
        </Button>
      </PageHead>
      <Controls values={url} set={set} seconds={seconds} bucket={bucket} />
      {error ? (
        <Problem error={error} again={refresh} />
      ) : rows?.length === 0 ? (
        <Empty icon={IconChartBar} title={t("empty.title")} text={t("empty.text")} />
      ) : (
        <Stack gap="md">
          <Card component="section" aria-label={t(overTime ? "course" : "week.title")}>
            <Group justify="space-between" mb="sm">
              <Group gap="sm" align="baseline">
                <Title order={2} size="sm" fw={600}>
                  {t(`metrics.${metricName}`)}
                </Title>
                {metric.adds && (drawn || week.data) && (
                  <Text size="sm" c="dimmed" className="numbers">
                    {t("total", { total: metric.shown(total) })}
                  </Text>
                )}
              </Group>
              <Look values={url} set={set} />
            </Group>
            {!overTime ? (
              <Week
                found={week.data}
                metric={metric}
                metricName={metricName}
                link={(span) => link({ range: span })}
              />
            ) : !chart ? (
              <Skeleton h={HEIGHT} />
            ) : look === "bars" ? (
              <BarChart
                {...chart}
                type="stacked"
                maxBarWidth={32}
                barChartProps={{ barCategoryGap: "16%" }}
              />
            ) : (
              <LineChart
                {...chart}
                curveType="linear"
                strokeWidth={1.6}
                dotProps={{ r: 2 }}
                connectNulls={false}
              />
            )}
          </Card>
          <Card component="section" padding={0} aria-label={t("table")}>
            <DataTable
              key={`${by} ${metricName}`}
              label={t("table")}
              columns={columns}
              rows={rows}
              keyOf={(row) => keyOf(row, groups)}
              sortedBy={`-${metricName}`}
            />
          </Card>
          {rows?.length === MOST && (
            <Text size="xs" c="dimmed">
              {t("most", { count: MOST })}
            </Text>
          )}
        </Stack>
      )}
    </>
  )
}
