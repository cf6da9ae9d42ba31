import { Anchor, Card, Group, SimpleGrid, Table, Text, Title } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { compact, cost, percent } from "../../parts/format"
import classes from "./overview.module.css"
import type { Overview } from "./series"

interface Row {
  id: string
  name: string
  requests: number
  /** What is said beside it. */
  note: string
  to?: string
}

interface Props {
  found: Overview
  link: (page: "requests" | "usage", filters?: Record<string, string>) => string
}

/** Who made most of it, and what went wrong most often; each leads to its requests. */
export function Tops({ found, link }: Props) {
  const { t } = useTranslation("overview")
  const { top, current } = found
  const priced = current.cost > 0
  const spent = (row: { tokens_input: number; tokens_output: number; cost: number }) =>
    priced ? cost(row.cost) : compact(row.tokens_input + row.tokens_output)
  const spending = t(priced ? "top.cost" : "top.tokens")
  return (
    <SimpleGrid cols={{ base: 1, md: 3 }} spacing="sm">
      <Top
        title={t("top.projects")}
        all={link("usage", { by: "project" })}
        total={current.requests}
        note={spending}
        rows={top.projects.map((row) => ({
          id: row.project_id,
          name: row.project ?? row.project_id.slice(0, 8),
          requests: row.requests,
          note: spent(row),
          to: link("requests", { project: row.project ?? row.project_id }),
        }))}
      />
      <Top
        title={t("top.models")}
        all={link("usage", { by: "model" })}
        total={current.requests}
        note={spending}
        rows={top.models.map((row) => ({
          id: row.model ?? "",
          name: row.model ?? t("top.unresolved"),
          requests: row.requests,
          note: spent(row),
          to: row.model ? link("requests", { model: row.model }) : link("requests", { status_class: "4" }),
        }))}
      />
      <Top
        title={t("top.errors")}
        all={link("usage", { by: "error_code" })}
        total={top.errors.reduce((sum, row) => sum + row.requests, 0)}
        note={t("top.share")}
        empty={t("top.noErrors")}
        rows={top.errors.map((row) => ({
          id: row.error_code,
          name: row.error_code,
          requests: row.requests,
          note: percent(current.requests ? row.requests / current.requests : null),
          to: link("requests", { error_code: row.error_code }),
        }))}
      />
    </SimpleGrid>
  )
}

interface TopProps {
  title: string
  all: string
  rows: Row[]
  total: number
  note: string
  empty?: string
}

function Top({ title, all, rows, total, note, empty }: TopProps) {
  const { t } = useTranslation("overview")
  return (
    <Card padding="md" component="section" aria-label={title}>
      <Group justify="space-between" mb="xs">
        <Title order={2} size="sm" fw={600}>
          {title}
        </Title>
        {rows.length > 0 && (
          <Anchor component={Link} to={all} size="xs" aria-label={`${t("top.all")}: ${title}`}>
            {t("top.all")}
          </Anchor>
        )}
      </Group>
      {rows.length === 0 ? (
        <Text size="sm" c="dimmed">
          {empty ?? t("top.nothing")}
        </Text>
      ) : (
        <Table aria-label={title} layout="fixed" withRowBorders={false} verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th fw={500}>{t("top.name")}</Table.Th>
              <Table.Th w={90} ta="right" fw={500}>
                {t("top.requests")}
              </Table.Th>
              <Table.Th w={84} ta="right" fw={500}>
                {note}
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Table.Tr key={row.id}>
                <Table.Td>
                  <svg className={classes.bar} aria-hidden preserveAspectRatio="none" viewBox="0 0 100 1">
                    <rect width={total ? (100 * row.requests) / total : 0} height={1} />
                  </svg>
                  <Anchor
                    component={Link}
                    to={row.to ?? all}
                    c="inherit"
                    className={classes.name}
                    title={row.name}
                  >
                    {row.name}
                  </Anchor>
                </Table.Td>
                <Table.Td ta="right">{compact(row.requests)}</Table.Td>
                <Table.Td ta="right" c="dimmed">
                  {row.note}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Card>
  )
}
