import { Button, Group, Text } from "@mantine/core"
import { IconRefresh } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { reconnect, useFeed } from "../../parts/feed"
import css from "./live.module.css"

/** Whether what is shown is of this moment. */
export function Connection() {
  const { t } = useTranslation("live")
  const state = useFeed((feed) => feed.state)
  const error = useFeed((feed) => feed.error)
  return (
    <Group gap="xs">
      <Group gap={7} role="status" title={error ?? undefined}>
        <span className={css.pulse} data-state={state} aria-hidden />
        <Text size="sm">{t(`connection.${state}`)}</Text>
      </Group>
      {state === "waiting" && (
        <Button variant="default" leftSection={<IconRefresh size={15} />} onClick={reconnect}>
          {t("connection.now")}
        </Button>
      )}
    </Group>
  )
}
