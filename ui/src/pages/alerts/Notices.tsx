import { Badge, Button, Card, Code, Stack, Text, Title } from "@mantine/core"
import { IconSend, IconWebhook } from "@tabler/icons-react"
import { useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { api, type Shape } from "../../api/client"
import { CodeBox } from "../../parts/CodeBox"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { Gate } from "../../parts/Gate"
import { done, failed } from "../../parts/told"
import { When } from "../../parts/When"
import type { Delivery, Webhook } from "./shapes"

const EXAMPLE = `alerts:
  webhooks:
    - name: team
      url_env: ALERTS_WEBHOOK
      format: slack`

const colors = { delivered: "teal", waiting: "blue", failed: "red" }

interface Props {
  webhooks: Webhook[] | undefined
  found: Shape["AlertList"] | undefined
}

/** Who is told, and what became of the notices. Webhooks are the config file's: their addresses are secrets. */
export function Notices({ webhooks, found }: Props) {
  const { t } = useTranslation("alerts")
  const queries = useQueryClient()
  const [testing, setTesting] = useState("")

  async function test(name: string) {
    setTesting(name)
    try {
      const { data } = await api.POST("/admin/api/alerts/test", { body: { webhook: name } })
      if (data!.state === "delivered") done(t("tested", { name, status: data!.status }))
      else failed(new Error(data!.error ?? t("deliveryStates.failed")))
      await queries.invalidateQueries({ queryKey: ["get", "/admin/api/alerts"] })
    } catch (problem) {
      failed(problem)
    } finally {
      setTesting("")
    }
  }

  const hooks: ColumnOf<Webhook>[] = [
    { id: "name", title: t("columns.name"), sort: ({ name }) => name, cell: ({ name }) => name },
    {
      id: "host",
      title: t("columns.host"),
      sort: ({ host }) => host,
      cell: ({ host }) => <Code>{host}</Code>,
    },
    { id: "format", title: t("columns.format"), cell: ({ format }) => format },
    { id: "signed", title: t("columns.signed"), cell: ({ signed }) => t(signed ? "yes" : "no") },
    { id: "rules", title: t("columns.rules"), cell: ({ rules }) => rules?.join(", ") ?? t("all") },
    {
      id: "test",
      title: "",
      right: true,
      cell: ({ name }) => (
        <Gate>
          {(disabled) => (
            <Button
              variant="default"
              leftSection={<IconSend size={14} />}
              disabled={disabled}
              loading={testing === name}
              onClick={() => void test(name)}
              aria-label={`${t("test")}: ${name}`}
            >
              {t("test")}
            </Button>
          )}
        </Gate>
      ),
    },
  ]
  const deliveries: ColumnOf<Delivery>[] = [
    { id: "at", title: t("columns.at"), sort: ({ at }) => at, cell: ({ at }) => <When at={at} /> },
    {
      id: "state",
      title: t("columns.state"),
      sort: ({ state }) => state,
      cell: ({ state }) => (
        <Badge variant="dot" color={colors[state]} size="md">
          {t(`deliveryStates.${state}`)}
        </Badge>
      ),
    },
    {
      id: "webhook",
      title: t("columns.webhook"),
      sort: ({ webhook }) => webhook,
      cell: ({ webhook }) => webhook,
    },
    {
      id: "rule",
      title: t("columns.rule"),
      sort: ({ rule }) => rule,
      cell: ({ rule, subject }) => `${rule}: ${subject}`,
    },
    {
      id: "notice",
      title: t("columns.notice"),
      cell: ({ told, reminder }) => t(reminder ? "reminder" : `states.${told}`),
    },
    {
      id: "tries",
      title: t("columns.tries"),
      right: true,
      sort: ({ tries }) => tries,
      cell: ({ tries }) => tries,
    },
    {
      id: "answer",
      title: t("columns.answer"),
      cell: ({ status, error }) => (
        <Text size="sm" c={error ? undefined : "dimmed"} maw={360} lineClamp={2}>
          {error ?? status}
        </Text>
      ),
    },
  ]
  if (webhooks?.length === 0)
    return (
      <Empty icon={IconWebhook} title={t("nobody.title")} text={t("nobody.text")}>
        <Stack ta="left" mt="sm" w={{ base: 300, sm: 440 }}>
          <CodeBox code={EXAMPLE} label={t("nobody.title")} />
        </Stack>
      </Empty>
    )
  return (
    <Stack gap="lg">
      <Card padding={0}>
        <DataTable label={t("webhooks")} columns={hooks} rows={webhooks} keyOf={({ name }) => name} />
      </Card>
      <section aria-label={t("deliveries")}>
        <Title order={2} size="sm" fw={600} mb="xs">
          {t("deliveries")}
        </Title>
        <Card padding={0}>
          <DataTable
            label={t("deliveries")}
            columns={deliveries}
            rows={found?.deliveries}
            keyOf={({ webhook, alert_id, told, at }) => `${webhook} ${alert_id} ${told} ${at}`}
            sortedBy="-at"
          />
        </Card>
      </section>
    </Stack>
  )
}
