import { ActionIcon, Anchor, Skeleton, Table, Text } from "@mantine/core"
import { IconChevronRight } from "@tabler/icons-react"
import { Fragment } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import type { Shape } from "../../api/client"
import { absolute, DASH } from "../../parts/format"
import { When } from "../../parts/When"
import css from "./audit.module.css"
import { type Change, changesOf, textOf } from "./changes"
import { Changes } from "./Changes"

export type AuditRow = Shape["AuditRow"]

interface Props {
  rows: AuditRow[] | undefined
  opened: string
  onOpen: (id: string) => void
}

const COLUMNS = ["when", "who", "action", "object", "changes", "address"] as const

/** One line a change; below the one that is open, its fields before and after. */
export function Rows({ rows, opened, onOpen }: Props) {
  const { t } = useTranslation("audit")
  return (
    <Table.ScrollContainer minWidth={760}>
      <Table aria-label={t("title")}>
        <Table.Thead>
          <Table.Tr>
            <Table.Td w={34} />
            {COLUMNS.map((name) => (
              <Table.Th key={name} style={{ whiteSpace: "nowrap" }}>
                {t(`columns.${name}`)}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody aria-busy={!rows}>
          {!rows &&
            Array.from({ length: 6 }, (_, at) => (
              <Table.Tr key={at}>
                <Table.Td colSpan={COLUMNS.length + 1}>
                  <Skeleton h={14} my={4} />
                </Table.Td>
              </Table.Tr>
            ))}
          {rows?.map((row) => (
            <Row
              key={row.id}
              row={row}
              open={row.id === opened}
              onTurn={() => onOpen(row.id === opened ? "" : row.id)}
            />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

function Row({ row, open, onTurn }: { row: AuditRow; open: boolean; onTurn: () => void }) {
  const { t } = useTranslation("audit")
  const action = t(`actions.${row.action}`, { defaultValue: row.action })
  const changes = changesOf(row.before, row.after)
  const inside = `changes-${row.id}`
  return (
    <Fragment>
      <Table.Tr
        className={`row ${open ? css.open : ""}`}
        onClick={(event) => {
          if (!(event.target as HTMLElement).closest("a,button") && !String(getSelection())) onTurn()
        }}
      >
        <Table.Td>
          <ActionIcon
            size="sm"
            aria-label={t("show", { action })}
            aria-expanded={open}
            aria-controls={open ? inside : undefined}
            onClick={onTurn}
          >
            <IconChevronRight size={15} className={css.turn} data-open={open || undefined} />
          </ActionIcon>
        </Table.Td>
        <Table.Td>
          <When at={row.timestamp} />
        </Table.Td>
        <Table.Td>{row.who}</Table.Td>
        <Table.Td>{action}</Table.Td>
        <Table.Td>
          <Thing row={row} />
        </Table.Td>
        <Table.Td>
          <Text size="xs" c="dimmed" truncate maw={320}>
            {summary(changes, row)}
          </Text>
        </Table.Td>
        <Table.Td>{row.address ?? DASH}</Table.Td>
      </Table.Tr>
      {open && (
        <Table.Tr className={css.details} id={inside}>
          <Table.Td colSpan={COLUMNS.length + 1}>
            <Text size="xs" c="dimmed" mb={6}>
              {[
                absolute(row.timestamp),
                row.role && t(`roles.${row.role}`, { ns: "shell" }),
                t(`how.${row.how}`),
                row.action,
              ]
                .filter(Boolean)
                .join(" · ")}
            </Text>
            <Changes changes={changes} label={action} />
          </Table.Td>
        </Table.Tr>
      )}
    </Fragment>
  )
}

/** What was changed, with a link to where it is now. */
function Thing({ row }: { row: AuditRow }) {
  const { object_type: type, object_id: id, object_name: name } = row
  if (!type) return <>{DASH}</>
  const text = name ?? id ?? type
  const places: Record<string, string> = {
    project: `/projects/${encodeURIComponent(text)}`,
    model: `/models?name=${encodeURIComponent(text)}`,
    server: `/fleet?id=${encodeURIComponent(id ?? text)}`,
  }
  const place = row.action.endsWith(".delete") ? undefined : places[type]
  return place ? (
    <Anchor component={Link} to={place} size="sm">
      {text}
    </Anchor>
  ) : (
    <span>{text}</span>
  )
}

/** The first changes in a line. */
function summary(changes: Change[], row: AuditRow): string {
  const updated = row.before && row.after
  return changes
    .filter(({ field }) => !["id", "created_at"].includes(field))
    .slice(0, 3)
    .map(({ field, before, after }) =>
      updated
        ? `${field}: ${textOf(before) || "–"} → ${textOf(after) || "–"}`
        : `${field}: ${textOf(after ?? before)}`,
    )
    .join(" · ")
}
