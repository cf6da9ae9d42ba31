import { Text, Tooltip } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { Dot } from "../../parts/Dot"
import { duration } from "../../parts/format"
import { COLOURS, type Server } from "./shapes"

/** The state of a server, why, and when it is looked at next. */
export function Standing({ server, full }: { server: Server; full?: boolean }) {
  const { t } = useTranslation("fleet")
  const next =
    server.rests_for_s == null
      ? ""
      : t("nextLook", { time: duration(Math.max(0, server.rests_for_s) * 1000) })
  const draining = server.draining && t("draining", { count: server.in_flight })
  const why = [draining, server.reason, next].filter(Boolean).join(" · ")
  return (
    <>
      <Dot color={COLOURS[server.state]}>{t(`state.${server.state}`)}</Dot>
      {why && (
        <Tooltip label={why} disabled={full} multiline maw={360}>
          <Text size="xs" c="dimmed" truncate={!full} maw={full ? undefined : 140}>
            {why}
          </Text>
        </Tooltip>
      )}
      {full && server.models_quarantined > 0 && (
        <Text size="xs" c="dimmed">
          {t("lies", { count: server.models_quarantined })}
        </Text>
      )}
    </>
  )
}
