import { Button, Checkbox, Group, Text, Tooltip } from "@mantine/core"
import { IconAlertTriangle, IconEyeOff, IconLock, IconServer2 } from "@tabler/icons-react"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"

import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { duration, number, percent } from "../../parts/format"
import { When } from "../../parts/When"
import { type Server, STATES } from "./shapes"
import { Standing } from "./Standing"

interface Props {
  rows: Server[] | undefined
  /** Of the fleet, whatever is filtered. */
  total: number | undefined
  chosen: string
  open: (id: string) => void
  picked: ReadonlySet<string>
  pick: (ids: ReadonlySet<string>) => void
  may: boolean
  clear: () => void
  add: () => void
}

export function Servers({ rows, total, chosen, open, picked, pick, may, clear, add }: Props) {
  const { t } = useTranslation("fleet")
  const columns = useMemo((): ColumnOf<Server>[] => {
    const count = rows?.filter(({ id }) => picked.has(id)).length ?? 0
    const toggle = (id: string, on: boolean) => {
      const next = new Set(picked)
      if (on) next.add(id)
      else next.delete(id)
      pick(next)
    }
    return [
      {
        id: "pick",
        title: t("pick"),
        width: 36,
        head: (
          <Checkbox
            size="xs"
            aria-label={t("pickAll")}
            checked={!!rows?.length && count === rows.length}
            indeterminate={count > 0 && count < (rows?.length ?? 0)}
            onChange={(event) =>
              pick(new Set(event.currentTarget.checked ? rows?.map(({ id }) => id) : undefined))
            }
          />
        ),
        cell: ({ id, name }) => (
          <Checkbox
            size="xs"
            aria-label={t("pickNamed", { name })}
            checked={picked.has(id)}
            onChange={(event) => toggle(id, event.currentTarget.checked)}
          />
        ),
      },
      { id: "name", title: t("name"), sort: ({ name }) => name, cell: (row) => <Name row={row} /> },
      {
        id: "state",
        title: t("stateOf"),
        sort: (row) => STATES.indexOf(row.state),
        cell: (row) => <Standing server={row} />,
      },
      {
        id: "success",
        title: t("success"),
        right: true,
        sort: (row) => row.success_rate,
        cell: (row) => percent(row.success_rate),
      },
      {
        id: "first",
        title: t("first"),
        right: true,
        sort: (row) => row.first_token_s,
        cell: (row) => duration(row.first_token_s && row.first_token_s * 1000),
      },
      {
        id: "speed",
        title: t("speed"),
        right: true,
        sort: (row) => row.tokens_per_second,
        cell: (row) => number(row.tokens_per_second, 1),
      },
      {
        id: "load",
        title: t("load"),
        right: true,
        sort: (row) => row.in_flight,
        cell: (row) => `${number(row.in_flight)} / ${row.max_concurrency ?? "∞"}`,
      },
      {
        id: "models",
        title: t("models"),
        right: true,
        sort: (row) => row.models.length,
        cell: (row) => <Models row={row} />,
      },
      {
        id: "trust",
        title: t("trustOf"),
        sort: (row) => row.trust,
        cell: (row) => [t(`trust.${row.trust}`), row.country].filter(Boolean).join(" · "),
      },
      {
        id: "version",
        title: t("version"),
        sort: (row) => row.version,
        cell: (row) => <Version row={row} />,
      },
      {
        id: "looked",
        title: t("looked"),
        right: true,
        sort: (row) => row.looked_at,
        cell: (row) => <When at={row.looked_at} />,
      },
    ]
  }, [t, rows, picked, pick])

  return (
    <DataTable
      label={t("title")}
      columns={columns}
      rows={rows}
      keyOf={({ id }) => id}
      onRow={({ id }) => open(id)}
      chosen={chosen || undefined}
      sortedBy="name"
      empty={
        total ? (
          <Empty icon={IconServer2} title={t("nothing.title")} text={t("nothing.text")}>
            <Button variant="default" onClick={clear}>
              {t("nothing.clear")}
            </Button>
          </Empty>
        ) : (
          <Empty icon={IconServer2} title={t("empty.title")} text={t("empty.text")}>
            <Button disabled={!may} onClick={add}>
              {t("add.open")}
            </Button>
          </Empty>
        )
      }
    />
  )
}

function Name({ row }: { row: Server }) {
  const { t } = useTranslation("fleet")
  return (
    <>
      <Group gap={6} wrap="nowrap">
        <Text size="sm" fw={500} truncate maw={180}>
          {row.name}
        </Text>
        {row.owner === "file" && (
          <Tooltip label={t("owned.file", { ns: "shell" })} multiline maw={300}>
            <IconLock size={14} aria-label={t("ofFile")} />
          </Tooltip>
        )}
      </Group>
      <Text size="xs" c="dimmed" truncate maw={180}>
        {row.url}
      </Text>
    </>
  )
}

function Models({ row }: { row: Server }) {
  const { t } = useTranslation("fleet")
  const lies = t("lies", { count: row.models_quarantined })
  const resting = row.models_resting - row.models_quarantined
  return (
    <Group gap={6} wrap="nowrap" justify="flex-end">
      {row.models_quarantined > 0 && (
        <Tooltip label={lies}>
          <IconAlertTriangle size={14} color="var(--mantine-color-red-6)" aria-label={lies} />
        </Tooltip>
      )}
      {resting > 0 && (
        <Text size="xs" c="dimmed">
          {t("modelsResting", { count: resting, shown: number(resting) })}
        </Text>
      )}
      {number(row.models.length)}
    </Group>
  )
}

function Version({ row }: { row: Server }) {
  const { t } = useTranslation("fleet")
  return (
    <Group gap={6} wrap="nowrap" style={{ whiteSpace: "nowrap" }}>
      {row.kind} {row.version}
      {row.leaks && (
        <Tooltip label={t("leaks")} multiline maw={300}>
          <IconEyeOff size={14} color="var(--mantine-color-orange-6)" aria-label={t("leaks")} />
        </Tooltip>
      )}
    </Group>
  )
}
