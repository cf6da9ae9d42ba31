import { ActionIcon, Button, Checkbox, Group, Popover, Stack, Text, Tooltip } from "@mantine/core"
import { useLocalStorage } from "@mantine/hooks"
import { IconArrowUp, IconColumns, IconListSearch } from "@tabler/icons-react"
import { useMemo, useState } from "react"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { Exports } from "../../parts/Exports"
import { useFeed } from "../../parts/feed"
import { number } from "../../parts/format"
import { PageHead } from "../../parts/PageHead"
import { usePages } from "../../parts/pages"
import { Problem } from "../../parts/Problem"
import { Range } from "../../parts/Range"
import { useUrl } from "../../parts/url"
import { Views } from "../../parts/Views"
import { columnsOf, usual } from "./columns"
import { RequestDrawer } from "./Drawer"
import { chosen, defaults, matches, queryOf, type Row, type Values } from "./filters"
import { Filters } from "./Filters"

const PAGE = 50

/** The log: it stays as it was asked for until somebody asks anew; what has come since is counted from memory. */
export default function Requests() {
  const { t } = useTranslation("requests")
  const [values, set] = useUrl<Values>(defaults)
  const [asked, setAsked] = useState(() => Date.now())
  const { id, ...filtering } = values
  const wanted = JSON.stringify(filtering)
  const query = useMemo(() => queryOf(values), [wanted, asked])
  const list = usePages(["requests", query, asked], async (cursor) => {
    const { data } = await api.GET("/admin/api/requests", {
      params: { query: { ...query, limit: PAGE, cursor } },
    })
    return data!
  })
  const rows = list.rows
  const fresh = useFresh(rows, values, list.dataUpdatedAt)
  const [shown, setShown] = useLocalStorage({ key: "llmgw-request-columns", defaultValue: usual })
  const columns = useMemo(() => columnsOf(t), [t])

  function move(by: 1 | -1) {
    const at = rows?.findIndex((row) => row.request_id === id) ?? -1
    const next = at < 0 ? undefined : rows?.[at + by]
    if (next) set({ id: next.request_id })
    else if (by > 0 && at >= 0 && list.hasNextPage && !list.isFetchingNextPage) void list.fetchNextPage()
  }

  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <Range
          value={values.range}
          onChange={(range) => set({ range })}
          refresh={() => setAsked(Date.now())}
          busy={list.isFetching && !list.isFetchingNextPage}
        />
        <Views page="requests" />
        <Columns all={columns} shown={shown} onChange={setShown} />
        <Exports path="/admin/api/requests/export" query={query} />
      </PageHead>
      <Filters values={values} set={set} rows={rows ?? []}>
        {fresh > 0 && (
          <Button
            variant="light"
            radius="xl"
            size="compact-sm"
            ml="auto"
            leftSection={<IconArrowUp size={14} />}
            onClick={() => setAsked(Date.now())}
          >
            {t("fresh", { count: fresh, shown: number(fresh) })}
          </Button>
        )}
      </Filters>
      {list.error ? (
        <Problem error={list.error} again={() => void list.refetch()} />
      ) : (
        <DataTable
          label={t("title")}
          columns={columns.filter((column) => shown.includes(column.id))}
          rows={rows}
          keyOf={(row) => row.request_id}
          onRow={(row) => set({ id: row.request_id }, { push: true })}
          chosen={id}
          empty={
            <Empty
              icon={IconListSearch}
              title={t(list.hasNextPage ? "empty.further" : "empty.title")}
              text={t(
                list.hasNextPage
                  ? "empty.furtherText"
                  : chosen(values).length
                    ? "empty.filtered"
                    : "empty.text",
              )}
            />
          }
        />
      )}
      {list.hasNextPage && (
        <Group justify="center" mt="md">
          <Button
            variant="default"
            loading={list.isFetchingNextPage}
            onClick={() => void list.fetchNextPage()}
          >
            {t("more", { ns: "shell" })}
          </Button>
        </Group>
      )}
      {rows && rows.length > 0 && !list.hasNextPage && (
        <Text size="xs" c="dimmed" ta="center" mt="md">
          {t("end")}
        </Text>
      )}
      <RequestDrawer id={id} onClose={() => set({ id: "" })} onMove={move} />
    </>
  )
}

/** How many rows of this list have come since it was asked for. */
function useFresh(rows: Row[] | undefined, values: Values, since: number): number {
  const ended = useFeed((feed) => feed.ended)
  const wanted = JSON.stringify(values)
  return useMemo(() => {
    if (!rows || values.range.includes("_")) return 0
    const there = new Set(rows.map((row) => row.request_id))
    const until = rows[0] ? Date.parse(rows[0].timestamp) : since
    return ended.filter(
      (row) =>
        !there.has(row.request_id) &&
        Date.parse(row.timestamp) + row.latency_ms > until &&
        matches(row, values),
    ).length
  }, [ended, rows, wanted, since])
}

interface ColumnsProps {
  all: { id: string; title: string }[]
  shown: string[]
  onChange: (shown: string[]) => void
}

function Columns({ all, shown, onChange }: ColumnsProps) {
  const { t } = useTranslation("requests")
  return (
    <Popover position="bottom-end" trapFocus returnFocus>
      <Popover.Target>
        <Tooltip label={t("columns.title")}>
          <ActionIcon aria-label={t("columns.title")} variant="default" size={30}>
            <IconColumns size={15} />
          </ActionIcon>
        </Tooltip>
      </Popover.Target>
      <Popover.Dropdown aria-label={t("columns.title")}>
        <Checkbox.Group value={shown} onChange={(next) => next.length > 0 && onChange(next)}>
          <Stack gap={6}>
            {all.map(({ id, title }) => (
              <Checkbox key={id} value={id} label={title} size="xs" />
            ))}
          </Stack>
        </Checkbox.Group>
        <Button variant="subtle" size="compact-xs" mt="xs" onClick={() => onChange(usual)}>
          {t("columns.usual")}
        </Button>
      </Popover.Dropdown>
    </Popover>
  )
}
