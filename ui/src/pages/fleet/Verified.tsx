import { Card, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"

import type { Shape } from "../../api/client"
import { Dot } from "../../parts/Dot"

const NAMED = 12

/** What came of asking an address for its models. */
export function Verified({ told }: { told: Shape["Verified"] }) {
  const { t } = useTranslation("fleet")
  const more = told.model_count - NAMED
  return (
    <Card role="status" padding="xs">
      <Text size="sm" fw={600}>
        <Dot color={told.ok ? "teal.6" : "red.6"}>
          {told.ok
            ? t("add.ok", { count: told.model_count, version: told.version ?? "" })
            : t("add.failed", { fault: told.fault })}
        </Dot>
      </Text>
      {told.detail && <Text size="sm">{told.detail}</Text>}
      {told.models.length > 0 && (
        <Text size="xs" ff="monospace" style={{ overflowWrap: "anywhere" }}>
          {told.models.slice(0, NAMED).join("  ")}
          {more > 0 && ` ${t("add.more", { count: more })}`}
        </Text>
      )}
      {told.leaks && <Text size="sm">{t("leaks")}</Text>}
      {told.known_as && (
        <Text size="sm" fw={600}>
          {t("add.known", { name: told.known_as })}
        </Text>
      )}
    </Card>
  )
}
