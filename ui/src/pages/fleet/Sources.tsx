import { Anchor, Button, Group, List, Stack, Text } from "@mantine/core"
import { IconRefresh } from "@tabler/icons-react"
import { useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { api, type Shape, use } from "../../api/client"
import { useMay } from "../../app/session"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Dot } from "../../parts/Dot"
import { number } from "../../parts/format"
import { Problem } from "../../parts/Problem"
import { done, failed } from "../../parts/told"
import { When } from "../../parts/When"
import { changed } from "./shapes"

type Source = Shape["SourceView"]
const NAMED = 20

/** Where servers come from, when it was read, and what was wrong with it. */
export function Sources({ look }: { look: (source: string) => void }) {
  const { t } = useTranslation("fleet")
  const queries = useQueryClient()
  const may = useMay("editor")
  const [busy, setBusy] = useState(false)
  const { data, error, refetch } = use.useQuery("get", "/admin/api/sources")
  if (error) return <Problem error={error} again={() => void refetch()} />

  async function sync() {
    setBusy(true)
    try {
      await api.POST("/admin/api/sources/sync")
      await changed(queries)
      done(t("sources.synced"))
    } catch (problem) {
      failed(problem)
    } finally {
      setBusy(false)
    }
  }
  const columns: ColumnOf<Source>[] = [
    {
      id: "name",
      title: t("filter.source"),
      cell: (row) => (
        <>
          <Text size="sm" fw={500}>
            {t(`source.${row.name}`, row.name)}
          </Text>
          <Text size="xs" c="dimmed">
            {t(`sources.about.${row.name}`, "")}
          </Text>
        </>
      ),
    },
    {
      id: "enabled",
      title: t("stateOf"),
      cell: (row) => (
        <Dot color={row.enabled ? "teal.6" : "gray.5"}>{t(row.enabled ? "sources.on" : "sources.off")}</Dot>
      ),
    },
    { id: "trust", title: t("trustOf"), cell: (row) => (row.trust ? t(`trust.${row.trust}`) : "–") },
    { id: "version", title: t("version"), cell: (row) => row.version ?? "–" },
    { id: "models", title: t("models"), right: true, cell: (row) => number(row.models) },
    {
      id: "servers",
      title: t("sources.servers"),
      right: true,
      cell: (row) => (
        <Anchor component="button" size="sm" onClick={() => look(row.name)}>
          {number(row.servers)}
        </Anchor>
      ),
    },
    { id: "read", title: t("sources.read"), right: true, cell: (row) => <When at={row.read_at} /> },
  ]
  const problems = data?.data.filter((row) => row.problems.length > 0) ?? []
  return (
    <Stack>
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          {t("sources.title")}
        </Text>
        <Button
          variant="default"
          leftSection={<IconRefresh size={15} />}
          loading={busy}
          disabled={!may}
          onClick={() => void sync()}
        >
          {t("sources.sync")}
        </Button>
      </Group>
      <DataTable label={t("views.sources")} columns={columns} rows={data?.data} keyOf={({ name }) => name} />
      {problems.map((row) => (
        <section key={row.name} aria-label={t("sources.problems", { name: row.name })}>
          <Text size="sm" fw={600}>
            {t("sources.problems", { name: t(`source.${row.name}`, row.name) })}
          </Text>
          <List size="sm" mt={4}>
            {row.problems.slice(0, NAMED).map((problem) => (
              <List.Item key={problem}>{problem}</List.Item>
            ))}
          </List>
          {row.problems.length > NAMED && (
            <Text size="xs" c="dimmed">
              {t("add.more", { count: row.problems.length - NAMED })}
            </Text>
          )}
        </section>
      ))}
    </Stack>
  )
}
