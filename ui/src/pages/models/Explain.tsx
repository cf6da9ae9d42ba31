import { ActionIcon, Card, Group, Skeleton, Text, Tooltip } from "@mantine/core"
import { IconRefresh } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { Dot } from "../../parts/Dot"
import { Problem } from "../../parts/Problem"
import { say } from "../../parts/said"
import { When } from "../../parts/When"
import { Words } from "../../parts/Words"
import { Candidates } from "./Candidates"
import { Rejected } from "./Rejected"

const colours: Record<string, string> = { serves: "teal", waits: "yellow", tries_resting: "orange" }
/** Standings of those that would be asked, sooner or later. */
const askable = ["usable", "returning", "doubted", "full", "busy"]

/** Who would serve this now, and why not the others. Nothing is asked again but by the button. */
export function Explain({ name, as }: { name: string; as: string }) {
  const { t } = useTranslation("models")
  const { data, error, refetch, isFetching, dataUpdatedAt } = use.useQuery(
    "get",
    "/admin/api/models/{name}/explain",
    { params: { path: { name }, query: { project: as || undefined } } },
    { staleTime: 0 },
  )
  const asked = data?.data.filter(({ standing }) => askable.includes(standing)) ?? []
  const out = data?.data.filter(({ standing }) => !askable.includes(standing)) ?? []
  return (
    <section aria-label={t("explain.title")}>
      <Group justify="space-between" mb="xs" wrap="nowrap">
        <Text fw={600} size="sm">
          {t("explain.title")}
        </Text>
        <Group gap={6} wrap="nowrap">
          {data && (
            <Text size="xs" c="dimmed">
              <When at={new Date(dataUpdatedAt).toISOString()} />
            </Text>
          )}
          <Tooltip label={t("refresh", { ns: "shell" })}>
            <ActionIcon
              aria-label={t("explain.again")}
              variant="default"
              loading={isFetching}
              onClick={() => void refetch()}
            >
              <IconRefresh size={15} />
            </ActionIcon>
          </Tooltip>
        </Group>
      </Group>
      {error && <Problem error={error} />}
      {!data && !error && <Skeleton h={120} />}
      {data && (
        <>
          <Card padding="xs" mb="sm">
            <Text size="sm" fw={600}>
              <Dot color={colours[data.outcome] ?? "red"}>{t(`outcome.${data.outcome}`)}</Dot>
            </Text>
            <Text size="sm">
              <Words>{data.conclusion_said.map(say).join(" ")}</Words>
            </Text>
            {data.advice_said && (
              <Text size="sm" mt={4}>
                <Words>{say(data.advice_said)}</Words>
              </Text>
            )}
          </Card>
          {asked.length > 0 && <Candidates rows={asked} several={data.backends.length > 1} />}
          {out.length > 0 && <Rejected rows={out} several={data.backends.length > 1} />}
          <Text size="xs" c="dimmed" mt="xs">
            {t("explain.about")}
          </Text>
        </>
      )}
    </section>
  )
}
