import { ActionIcon, Badge, Button, Group, Stack, Text, Tooltip } from "@mantine/core"
import { IconLock, IconPencil, IconTags, IconTrash } from "@tabler/icons-react"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { use, type Shape } from "../../api/client"
import { useMay } from "../../app/session"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { number } from "../../parts/format"
import { Problem } from "../../parts/Problem"
import { Search } from "../../parts/Search"
import { useUrl } from "../../parts/url"
import { Backend } from "./Backend"
import { Unmap } from "./Unmap"

type Model = Shape["ListedModel"]
const DEFAULTS = { q: "" }

interface Props {
  chosen: string
  open: (name: string, as?: string) => void
  edit: (what: string) => void
}

/** The logical names: what each means, in order of preference, and whether anybody can serve it. */
export function Names({ chosen, open, edit }: Props) {
  const { t } = useTranslation("models")
  const [{ q }, set] = useUrl(DEFAULTS)
  const may = useMay("editor")
  const { data, error, refetch } = use.useQuery("get", "/admin/api/models")
  const [gone, setGone] = useState<Model | null>(null)
  if (error) return <Problem error={error} again={() => void refetch()} />

  const words = q.toLowerCase().split(/\s+/)
  const rows = data?.data.filter((row) => {
    const text = [row.name, row.project, row.description, ...row.backend].join(" ").toLowerCase()
    return words.every((word) => text.includes(word))
  })

  const columns: ColumnOf<Model>[] = [
    {
      id: "name",
      title: t("name"),
      sort: ({ name }) => name,
      cell: (row) => (
        <>
          <Group gap={6} wrap="nowrap">
            <Text size="sm" fw={500} ff="monospace">
              {row.name}
            </Text>
            {row.owner === "file" && (
              <Tooltip label={t("owned.file", { ns: "shell" })} multiline maw={300}>
                <IconLock size={14} aria-label={t("ofFile")} />
              </Tooltip>
            )}
          </Group>
          {row.description && (
            <Text size="xs" c="dimmed" maw={300} truncate>
              {row.description}
            </Text>
          )}
        </>
      ),
    },
    {
      id: "project",
      title: t("project"),
      sort: ({ project }) => project ?? "",
      cell: ({ project }) =>
        project ?? (
          <Badge color="gray" c="inherit">
            {t("shared")}
          </Badge>
        ),
    },
    {
      id: "backend",
      title: t("means"),
      cell: (row) => (
        <Stack gap={2}>
          {row.backend.map((name, at) => (
            <Backend key={name} name={name} place={at + 1} healthy={row.healthy_by_backend[at] ?? 0} />
          ))}
        </Stack>
      ),
    },
    {
      id: "params",
      title: t("params.title"),
      cell: ({ params }) => (
        <Text size="xs" c="dimmed" maw={220} ff="monospace">
          {Object.entries(params)
            .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
            .join(" ") || "–"}
        </Text>
      ),
    },
    {
      id: "healthy",
      title: t("healthy"),
      right: true,
      sort: (row) => row.healthy_servers,
      cell: (row) => number(row.healthy_servers),
    },
    {
      id: "actions",
      title: t("actions"),
      right: true,
      width: 90,
      cell: (row) => {
        const locked = !may || row.owner === "file"
        return (
          <Group gap={2} justify="flex-end" wrap="nowrap">
            <ActionIcon
              aria-label={t("editNamed", { name: row.name })}
              disabled={locked}
              onClick={() => edit(row.id)}
            >
              <IconPencil size={16} />
            </ActionIcon>
            <ActionIcon
              aria-label={t("deleteNamed", { name: row.name })}
              disabled={locked}
              onClick={() => setGone(row)}
            >
              <IconTrash size={16} />
            </ActionIcon>
          </Group>
        )
      },
    },
  ]

  return (
    <>
      <Search mb="sm" maw={360} label={t("searchNames")} value={q} onChange={(words) => set({ q: words })} />
      <DataTable
        label={t("tabs.names")}
        columns={columns}
        rows={rows}
        keyOf={(row) => row.id}
        onRow={(row) => open(row.name, row.project ?? "")}
        chosen={rows?.find((row) => row.name === chosen)?.id}
        sortedBy="name"
        empty={
          data?.data.length ? undefined : (
            <Empty icon={IconTags} title={t("empty.title")} text={t("empty.text")}>
              <Button mt="xs" disabled={!may} onClick={() => edit("new")}>
                {t("map")}
              </Button>
            </Empty>
          )
        }
      />
      <Unmap model={gone} onClose={() => setGone(null)} />
    </>
  )
}
