import { Anchor, Button, Card, Group, Select, Text, Tooltip } from "@mantine/core"
import { IconPlayerPlay } from "@tabler/icons-react"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { use, type Shape } from "../../api/client"
import { useMay } from "../../app/session"
import { Dot } from "../../parts/Dot"
import { duration, number } from "../../parts/format"
import { Problem } from "../../parts/Problem"

interface Props {
  name: string
  as: string
  projects: { name: string; is_active: boolean }[]
}

/** One short question, as a project asks it: whether an answer comes, from whom and how fast. */
export function Test({ name, as, projects }: Props) {
  const { t } = useTranslation("models")
  const may = useMay("editor")
  const active = projects.filter((each) => each.is_active).map((each) => each.name)
  const [chosen, choose] = useState<string | null>(null)
  const project = chosen ?? (as || active[0] || null)
  const test = use.useMutation("post", "/admin/api/models/test")
  return (
    <section aria-label={t("test.title")}>
      <Text fw={600} size="sm">
        {t("test.title")}
      </Text>
      <Text size="xs" c="dimmed" mb="xs">
        {t("test.about")}
      </Text>
      <Group align="flex-end" gap="xs" mb="sm">
        <Select
          label={t("test.project")}
          data={active}
          value={project}
          onChange={choose}
          allowDeselect={false}
          placeholder={t("test.noProject")}
        />
        <Tooltip label={t("needsEditor")} disabled={may}>
          <Button
            size="sm"
            leftSection={<IconPlayerPlay size={15} />}
            loading={test.isPending}
            data-disabled={!may || !project || undefined}
            onClick={() => may && project && test.mutate({ body: { model: name, project } })}
          >
            {t("test.run")}
          </Button>
        </Tooltip>
      </Group>
      <div aria-live="polite">
        {test.error && <Problem error={test.error} />}
        {test.data && <Result tried={test.data} />}
      </div>
    </section>
  )
}

function Result({ tried }: { tried: Shape["Tried"] }) {
  const { t } = useTranslation("models")
  const { error, server, server_name } = tried
  return (
    <Card padding="xs">
      <Text size="sm" fw={600}>
        <Dot color={tried.ok ? "teal.6" : "red.6"}>{t(tried.ok ? "test.ok" : "test.failed")}</Dot>
      </Text>
      {tried.answer && (
        <Text size="sm" mb={4} style={{ overflowWrap: "anywhere" }}>
          “{tried.answer}”
        </Text>
      )}
      {error && (
        <Text size="sm" mb={4}>
          {error.message}
        </Text>
      )}
      <Group gap="md">
        {server && (
          <Text size="xs">
            {t("test.by")}{" "}
            <Anchor component={Link} to={`/fleet?id=${encodeURIComponent(server)}`} size="xs">
              {server_name ?? server}
            </Anchor>
            {tried.model && ` (${tried.model})`}
          </Text>
        )}
        <Text size="xs">{t("test.took", { time: duration(tried.latency_ms) })}</Text>
        {tried.ttft_ms != null && <Text size="xs">{t("test.first", { time: duration(tried.ttft_ms) })}</Text>}
        {tried.tokens_per_second != null && (
          <Text size="xs">{t("test.speed", { speed: number(tried.tokens_per_second, 1) })}</Text>
        )}
        <Text size="xs">{t("test.attempts", { count: tried.attempts })}</Text>
        <Anchor component={Link} to={`/requests?id=${tried.request_id}`} size="xs">
          {t("test.row")}
        </Anchor>
      </Group>
    </Card>
  )
}
