import { Card, Group, Stack, Text, Title } from "@mantine/core"
import { IconCircleCheck } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import type { Shape } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { When } from "../../parts/When"
import { SeverityBadge } from "./Severity"
import { type Alert, shown } from "./shapes"

/** What fires, what waits to, and what is over. */
export function Now({ found }: { found: Shape["AlertList"] | undefined }) {
  const { t } = useTranslation("alerts")
  const common: ColumnOf<Alert>[] = [
    {
      id: "severity",
      title: t("columns.severity"),
      width: 120,
      sort: ({ severity }) => ["info", "warning", "critical"].indexOf(severity),
      cell: ({ severity }) => <SeverityBadge severity={severity} />,
    },
    {
      id: "rule",
      title: t("columns.rule"),
      sort: ({ rule }) => rule,
      cell: ({ rule, message }) => (
        <>
          <Text size="sm" fw={500}>
            {rule}
          </Text>
          <Text size="xs" c="dimmed" maw={420}>
            {message}
          </Text>
        </>
      ),
    },
    {
      id: "subject",
      title: t("columns.subject"),
      sort: ({ subject }) => subject,
      cell: ({ subject }) => subject,
    },
    {
      id: "value",
      title: t("columns.value"),
      right: true,
      cell: ({ value, unit, condition }) => (
        <>
          <Text size="sm">{shown(value, unit)}</Text>
          <Text size="xs" c="dimmed">
            {condition}
          </Text>
        </>
      ),
    },
  ]
  const current: ColumnOf<Alert>[] = [
    {
      id: "state",
      title: t("columns.state"),
      width: 110,
      sort: ({ state }) => state,
      cell: ({ state }) => <Text size="sm">{t(`states.${state}`)}</Text>,
    },
    ...common,
    {
      id: "since",
      title: t("columns.since"),
      right: true,
      sort: ({ since }) => since,
      cell: ({ since }) => <When at={since} />,
    },
    {
      id: "told",
      title: t("columns.told"),
      right: true,
      sort: ({ told_at }) => told_at,
      cell: ({ told_at }) => <When at={told_at} />,
    },
  ]
  const past: ColumnOf<Alert>[] = [
    ...common,
    {
      id: "started",
      title: t("columns.started"),
      right: true,
      sort: ({ started_at }) => started_at,
      cell: ({ started_at }) => <When at={started_at} />,
    },
    {
      id: "resolved",
      title: t("columns.resolved"),
      right: true,
      sort: ({ resolved_at }) => resolved_at,
      cell: ({ resolved_at }) => <When at={resolved_at} />,
    },
  ]
  return (
    <Stack gap="md">
      {found?.data.length === 0 ? (
        <Empty icon={IconCircleCheck} title={t("calm.title")} text={t("calm.text")} />
      ) : (
        <Card padding={0}>
          <DataTable
            label={t("tabs.now")}
            columns={current}
            rows={found?.data}
            keyOf={({ id }) => id}
            sortedBy="-since"
          />
        </Card>
      )}
      {!!found?.recent.length && (
        <section aria-label={t("over")}>
          <Group mb="xs">
            <Title order={2} size="sm" fw={600}>
              {t("over")}
            </Title>
          </Group>
          <Card padding={0}>
            <DataTable
              label={t("over")}
              columns={past}
              rows={found.recent}
              keyOf={({ id }) => id}
              sortedBy="-resolved"
            />
          </Card>
        </section>
      )}
    </Stack>
  )
}
