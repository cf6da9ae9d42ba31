import { Anchor, Drawer, Group, Skeleton, Stack, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { use } from "../../api/client"
import { duration, number, percent } from "../../parts/format"
import { Problem } from "../../parts/Problem"
import { When } from "../../parts/When"
import { Actions } from "./Actions"
import classes from "./fleet.module.css"
import { ModelsOn } from "./ModelsOn"
import type { Server } from "./shapes"
import { Standing } from "./Standing"
import { Timeline } from "./Timeline"

/** One server: what is known of it, its models, its day, and what can be done. */
export function Detail({ id, row, onClose }: { id: string; row: Server | undefined; onClose: () => void }) {
  const { t } = useTranslation("fleet")
  return (
    <Drawer
      closeButtonProps={{ "aria-label": t("close", { ns: "shell" }) }}
      opened={id !== ""}
      onClose={onClose}
      size="min(860px, 100vw)"
      title={
        <Text fw={600} style={{ overflowWrap: "anywhere" }}>
          {row?.name ?? id}
        </Text>
      }
    >
      {id && <Body key={id} id={id} row={row} onClose={onClose} />}
    </Drawer>
  )
}

function Body({ id, row, onClose }: { id: string; row: Server | undefined; onClose: () => void }) {
  const { t } = useTranslation("fleet")
  const { data, error, refetch } = use.useQuery("get", "/admin/api/servers/{server}", {
    params: { path: { server: id } },
  })
  const server = data ?? row
  if (error) return <Problem error={error} again={() => void refetch()} />
  if (!server) return <Skeleton h={240} />
  const facts: [string, React.ReactNode][] = [
    [
      t("address"),
      <Text span size="sm" ff="monospace" key="url">
        {server.url}
      </Text>,
    ],
    [t("kind"), [server.kind, server.version].filter(Boolean).join(" ")],
    [t("trustOf"), t(`trust.${server.trust}`)],
    [t("country"), server.country ?? "–"],
    [t("filter.source"), t(`source.${server.source}`, server.source)],
    [t("success"), percent(server.success_rate)],
    [t("first"), duration(server.first_token_s && server.first_token_s * 1000)],
    [t("speed"), number(server.tokens_per_second, 1)],
    [t("load"), `${number(server.in_flight)} / ${server.max_concurrency ?? t("unlimited", { ns: "shell" })}`],
    [t("keyVariable"), server.api_key_env ?? "–"],
    [t("firstSeen"), <When key="first" at={server.first_seen} />],
    [t("seen"), <When key="last" at={server.last_seen} />],
    [t("looked"), <When key="looked" at={server.looked_at} />],
    [t("next"), duration(server.next_look_s && server.next_look_s * 1000)],
  ]
  return (
    <Stack gap="lg">
      <div>
        <Standing server={server} full />
        {server.leaks && (
          <Text size="sm" mt={4}>
            {t("leaks")}
          </Text>
        )}
      </div>
      <Actions server={server} onClose={onClose} />
      <section aria-label={t("facts")}>
        <dl className={classes.facts}>
          {facts.map(([name, value]) => (
            <div key={name} style={{ display: "contents" }}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <Group mt="sm" gap="md">
          <Anchor component={Link} size="sm" to={`/requests?server_id=${encodeURIComponent(server.id)}`}>
            {t("itsRequests")}
          </Anchor>
        </Group>
      </section>
      <section aria-label={t("timeline")}>
        <Text fw={600} size="sm" mb={6}>
          {t("timeline")}
        </Text>
        <Timeline id={server.id} />
      </section>
      <section aria-label={t("models")}>
        <Text fw={600} size="sm" mb={6}>
          {t("models")}
        </Text>
        <ModelsOn rows={data?.model_list} />
      </section>
    </Stack>
  )
}
