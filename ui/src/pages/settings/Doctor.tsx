import { Alert, Badge, Button, Group, Stack, Text } from "@mantine/core"
import { IconRefresh } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { type Shape, use } from "../../api/client"
import { DataTable } from "../../parts/DataTable"
import { Problem } from "../../parts/Problem"
import { say } from "../../parts/said"
import { Words } from "../../parts/Words"

type Checked = Shape["Checked"]
const colours: Record<string, string> = { ok: "teal", warning: "yellow", error: "red" }
const rank: Record<string, number> = { error: 0, warning: 1 }

/** What is wrong with this installation, and how to mend it. */
export function Doctor() {
  const { t } = useTranslation("settings")
  const { data, error, isFetching, refetch } = use.useQuery(
    "get",
    "/admin/api/doctor",
    {},
    { staleTime: 60_000 },
  )
  const named = ({ name }: Checked) => t(`checks.${name}`, { defaultValue: name })
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          {t("doctorAbout")}
        </Text>
        <Button
          variant="default"
          leftSection={<IconRefresh size={15} />}
          loading={isFetching}
          onClick={() => void refetch()}
        >
          {t("again")}
        </Button>
      </Group>
      {error && <Problem error={error} />}
      {data?.data.every(({ state }) => state === "ok") && <Alert color="teal">{t("healthy")}</Alert>}
      <DataTable<Checked>
        label={t("tabs.doctor")}
        rows={data?.data.toSorted((a, b) => (rank[a.state] ?? 2) - (rank[b.state] ?? 2))}
        keyOf={({ name, text }) => name + text}
        columns={[
          {
            id: "state",
            title: t("state"),
            cell: (one) => <Badge color={colours[one.state] ?? "gray"}>{t(`states.${one.state}`)}</Badge>,
          },
          { id: "name", title: t("check"), sort: named, cell: named },
          {
            id: "text",
            title: t("found"),
            cell: (one) => (
              <>
                <Text size="sm">
                  <Words>{one.said ? say(one.said) : one.text}</Words>
                </Text>
                {one.fix && (
                  <Text size="xs" c="dimmed">
                    <Words>{one.fix_said ? say(one.fix_said) : one.fix}</Words>
                  </Text>
                )}
              </>
            ),
          },
        ]}
      />
    </Stack>
  )
}
