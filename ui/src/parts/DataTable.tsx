import { Skeleton, Table, UnstyledButton } from "@mantine/core"
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react"
import { useVirtualizer } from "@tanstack/react-virtual"
import { type ReactNode, useMemo, useRef, useState } from "react"
import { useTranslation } from "react-i18next"

export interface ColumnOf<T> {
  id: string
  title: string
  /** In place of the title's text, which names the column all the same. */
  head?: ReactNode
  cell: (row: T) => ReactNode
  /** What rows are sorted by; absent: not sortable. Unknown (`null`) comes last. */
  sort?: (row: T) => number | string | null | undefined
  right?: boolean
  width?: number
}

interface Props<T> {
  label: string
  columns: ColumnOf<T>[]
  rows: T[] | undefined
  keyOf: (row: T) => string
  onRow?: (row: T) => void
  chosen?: string
  /** Name of a column, `-` before it: largest first. */
  sortedBy?: string
  /** Instead of the table, when there are no rows. */
  empty?: ReactNode
  /** In the table, when there are no rows. */
  none?: ReactNode
}

const VIRTUAL_FROM = 200
const ROW = 37 // px, the height of a row before it was measured

/** A table with sortable columns, rows that open on click and Enter, and only the visible rows in the page when long. */
export function DataTable<T>({
  label,
  columns,
  rows,
  keyOf,
  onRow,
  chosen,
  sortedBy,
  empty,
  none,
}: Props<T>) {
  const { t } = useTranslation()
  const [sort, setSort] = useState(sortedBy ?? "")
  const scroller = useRef<HTMLDivElement>(null)
  const sorted = useMemo(() => {
    const by = columns.find(({ id }) => id === sort.replace(/^-/, ""))?.sort
    if (!rows || !by) return rows ?? []
    const sign = sort.startsWith("-") ? -1 : 1
    return [...rows].sort((a, b) => {
      const [x, y] = [by(a), by(b)]
      if (x == null || y == null) return (x == null ? 1 : 0) - (y == null ? 1 : 0)
      return sign * (typeof x === "string" ? x.localeCompare(String(y)) : x - Number(y))
    })
  }, [rows, sort, columns])
  const virtual = sorted.length > VIRTUAL_FROM
  const virtualizer = useVirtualizer({
    count: sorted.length,
    enabled: virtual,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
  })
  if (rows?.length === 0 && empty) return <>{empty}</>
  const items = virtual
    ? virtualizer.getVirtualItems()
    : sorted.map((_, index) => ({ index, start: 0, end: 0 }))
  const above = virtual ? (items[0]?.start ?? 0) : 0
  const below = virtual ? virtualizer.getTotalSize() - (items.at(-1)?.end ?? 0) : 0

  return (
    <div ref={scroller} style={{ overflow: "auto", maxHeight: virtual ? "calc(100dvh - 220px)" : undefined }}>
      <Table aria-label={label} aria-rowcount={sorted.length} stickyHeader={virtual}>
        <Table.Thead>
          <Table.Tr>
            {columns.map(({ id, title, head, sort: by, right, width }) => {
              const way = sort === id ? "ascending" : sort === `-${id}` ? "descending" : undefined
              return (
                <Table.Th
                  key={id}
                  ta={right ? "right" : undefined}
                  w={width}
                  aria-label={head ? title : undefined}
                  style={{ whiteSpace: "nowrap" }}
                  aria-sort={by ? (way ?? "none") : undefined}
                >
                  {by ? (
                    <UnstyledButton
                      fz="inherit"
                      fw="inherit"
                      onClick={() => setSort(way === "descending" ? id : `-${id}`)}
                    >
                      {title} {way === "ascending" && <IconArrowUp size={12} aria-hidden />}
                      {way === "descending" && <IconArrowDown size={12} aria-hidden />}
                    </UnstyledButton>
                  ) : (
                    (head ?? title)
                  )}
                </Table.Th>
              )
            })}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody aria-busy={!rows}>
          {!rows &&
            Array.from({ length: 6 }, (_, at) => (
              <Table.Tr key={at}>
                <Table.Td colSpan={columns.length}>
                  <Skeleton h={14} my={4} />
                </Table.Td>
              </Table.Tr>
            ))}
          {above > 0 && <tr style={{ height: above }} aria-hidden />}
          {items.map(({ index }) => {
            const row = sorted[index]!
            const key = keyOf(row)
            return (
              <Table.Tr
                key={key}
                data-index={index}
                ref={virtual ? virtualizer.measureElement : undefined}
                className={onRow ? "row" : undefined}
                tabIndex={onRow ? 0 : undefined}
                bg={chosen === key ? "var(--mantine-primary-color-light)" : undefined}
                aria-selected={chosen === undefined ? undefined : chosen === key}
                onClick={
                  onRow &&
                  ((event) => {
                    const inner = (event.target as HTMLElement).closest("a,button,input,label")
                    if (!inner && !String(getSelection())) onRow(row)
                  })
                }
                onKeyDown={
                  onRow &&
                  ((event) => {
                    if (event.target !== event.currentTarget) return
                    if (event.key === "Enter") onRow(row)
                    else if (walk(event.currentTarget, event.key)) event.preventDefault()
                  })
                }
              >
                {columns.map(({ id, cell, right }) => (
                  <Table.Td
                    key={id}
                    ta={right ? "right" : undefined}
                    style={right ? { whiteSpace: "nowrap" } : undefined}
                  >
                    {cell(row)}
                  </Table.Td>
                ))}
              </Table.Tr>
            )
          })}
          {below > 0 && <tr style={{ height: below }} aria-hidden />}
          {rows?.length === 0 && (
            <Table.Tr>
              <Table.Td colSpan={columns.length} c="dimmed">
                {none ?? t("none")}
              </Table.Td>
            </Table.Tr>
          )}
        </Table.Tbody>
      </Table>
    </div>
  )
}

/** `j`, `k` and the arrows go from row to row. */
function walk(row: HTMLElement, key: string): boolean {
  const way = { j: "next", ArrowDown: "next", k: "previous", ArrowUp: "previous" }[key]
  const next = way && row[`${way as "next" | "previous"}ElementSibling`]
  if (next instanceof HTMLElement && next.tabIndex === 0) next.focus()
  return !!way
}
