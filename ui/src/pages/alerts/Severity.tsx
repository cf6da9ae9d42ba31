import { Badge } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { colorOf } from "./shapes"

export function SeverityBadge({ severity }: { severity: string }) {
  const { t } = useTranslation("alerts")
  return (
    <Badge variant="dot" color={colorOf[severity] ?? "gray"} size="md">
      {t(`severities.${severity}`, { defaultValue: severity })}
    </Badge>
  )
}
