import { Badge, Modal, Skeleton, Stack, Text } from "@mantine/core"
import { useQuery } from "@tanstack/react-query"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Problem } from "../../parts/Problem"
import { type Rule, shown } from "./shapes"

/** What a rule would say at this moment; nobody is told. */
export function RuleTest({ rule, onClose }: { rule: Rule; onClose: () => void }) {
  const { t } = useTranslation("alerts")
  const trial = useQuery({
    queryKey: ["rule test", rule.name],
    staleTime: 0,
    gcTime: 0,
    queryFn: async () =>
      (await api.POST("/admin/api/alerts/rules/{name}/test", { params: { path: { name: rule.name } } }))
        .data!,
  })
  const found = trial.data
  type Value = NonNullable<typeof found>["data"][number]
  const columns: ColumnOf<Value>[] = [
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
      sort: ({ value }) => value,
      cell: ({ value }) => shown(value, rule.unit),
    },
    {
      id: "holds",
      title: t("columns.holds"),
      right: true,
      cell: ({ holds }) => <Badge color={holds ? "red" : "gray"}>{t(holds ? "yes" : "no")}</Badge>,
    },
  ]
  return (
    <Modal opened onClose={onClose} title={t("testTitle", { name: rule.name })} size="lg">
      <Stack gap="sm">
        <Text size="sm" className="numbers">
          {rule.condition}
        </Text>
        {trial.error ? (
          <Problem error={trial.error} again={() => void trial.refetch()} />
        ) : !found ? (
          <Skeleton h={80} />
        ) : !found.known ? (
          <Text size="sm">{t("unknown")}</Text>
        ) : found.data.length === 0 ? (
          <Text size="sm">{t("noValues")}</Text>
        ) : (
          <DataTable
            label={t("testTitle", { name: rule.name })}
            columns={columns}
            rows={found.data}
            keyOf={({ subject }) => subject}
          />
        )}
      </Stack>
    </Modal>
  )
}
