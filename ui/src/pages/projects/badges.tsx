import { Badge, Group, Tooltip } from "@mantine/core"
import { IconLock, IconPlayerPause } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import type { Trust } from "./shapes"

const colours: Record<Trust, string> = { own: "teal", partner: "blue", public: "orange" }
export const classes: Trust[] = ["own", "partner", "public"]

/** Whose servers may see a project's prompts. */
export function TrustBadges({ trust }: { trust: Trust[] }) {
  const { t } = useTranslation("projects")
  return (
    <Group gap={4} wrap="nowrap">
      {classes
        .filter((each) => trust.includes(each))
        .map((each) => (
          <Tooltip key={each} label={t(`trust.${each}.short`)} multiline maw={280}>
            <Badge color={colours[each]} size="sm" miw="fit-content">
              {t(`trust.${each}.name`)}
            </Badge>
          </Tooltip>
        ))}
    </Group>
  )
}

export function StateBadges({ active, owner }: { active: boolean; owner: "database" | "file" }) {
  const { t } = useTranslation("projects")
  return (
    <>
      {!active && (
        <Badge color="gray" size="sm" leftSection={<IconPlayerPause size={11} />}>
          {t("paused")}
        </Badge>
      )}
      {owner === "file" && (
        <Tooltip label={t("owned.file", { ns: "shell" })} multiline maw={300}>
          <Badge color="gray" size="sm" variant="outline" leftSection={<IconLock size={11} />}>
            {t("fileOwned")}
          </Badge>
        </Tooltip>
      )}
    </>
  )
}
