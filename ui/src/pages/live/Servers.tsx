import { Anchor, Group, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { useFeed } from "../../parts/feed"
import { number } from "../../parts/format"
import { When } from "../../parts/When"
import css from "./live.module.css"

/** How the fleet is, and which server changed last. */
export function Servers() {
  const { t } = useTranslation("live")
  const servers = useFeed((feed) => feed.servers)
  const changes = useFeed((feed) => feed.changes)
  const last = changes[0]
  const states = Object.entries(servers).filter(([, count]) => count > 0)
  if (!states.length) return null
  return (
    <Group gap="md" className={css.servers} role="group" aria-label={t("servers.title")}>
      {states.map(([state, count]) => (
        <Anchor key={state} component={Link} to={`/fleet?state=${state}`} size="sm" c="inherit">
          <span className={css.state} data-state={state} aria-hidden />
          {number(count)} {t(`states.${state}`, { count, defaultValue: state })}
        </Anchor>
      ))}
      {last && (
        <Text size="sm" c="dimmed" ml="auto" aria-live="polite">
          {t("servers.changed", {
            name: last.name,
            state: t(`states.${last.state}`, { count: 1, defaultValue: last.state }),
          })}{" "}
          <When at={last.at} />
          {last.reason && ` · ${last.reason}`}
        </Text>
      )}
    </Group>
  )
}
